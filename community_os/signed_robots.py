"""Signatures of group robots (I/O), as DingTalk and Feishu document them; both ask for one where the robot is set so.

    DingTalk       ?timestamp=ms&sign=…              base64(HMAC-SHA256(key secret, "ms\\nsecret")), encoded once
    Feishu, Lark   {"timestamp": "s", "sign": …}     base64(HMAC-SHA256(key "s\\nsecret", ""))

apprise 2.2 encodes DingTalk's signature twice, which the service refuses, and knows none for Feishu. Here its plugins
get theirs: `dingtalk://SECRET@TOKEN/`, `feishu://SECRET@TOKEN/`, `lark://SECRET@TOKEN/`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import Any


def dingtalk_sign(secret: str, timestamp_ms: int) -> str:
    """The signature before it is put into an address."""
    said = f"{timestamp_ms}\n{secret}".encode()
    return base64.b64encode(hmac.digest(secret.encode(), said, hashlib.sha256)).decode()


def feishu_sign(secret: str, timestamp_s: int) -> str:
    """The signature of a Feishu or Lark robot: the text is the key, and nothing is signed."""
    return base64.b64encode(hmac.digest(f"{timestamp_s}\n{secret}".encode(), b"", hashlib.sha256)).decode()


def with_signature(schema: str, target: Any) -> Any:
    """The plugin, signing as its service says; any other as it is. target: as `apprise.instantiate` made it."""
    if schema == "dingtalk" and target.secret:
        secret = target.secret

        def get_signature() -> tuple[str, str]:
            now_ms = round(time.time() * 1000)
            return str(now_ms), dingtalk_sign(secret, now_ms)

        target.get_signature = get_signature
    elif schema in ("feishu", "lark") and target.user:
        target.send = _feishu_send(target, target.user)
    return target


def _feishu_send(target: Any, secret: str) -> Any:
    """What the plugin's `send` does, with the two fields more."""
    import requests

    address = getattr(target, "webhook_url", "") or target.notify_url.format(token=target.token)

    def send(body: str, title: str = "", **_: Any) -> bool:
        now_s = int(time.time())
        payload: dict[str, Any] = {"timestamp": str(now_s), "sign": feishu_sign(secret, now_s), "msg_type": "text",
                   "content": {"text": f"{title}\n{body}" if title else body}}
        try:
            answer = requests.post(address, json=payload, headers={"User-Agent": target.app_id},
                                   verify=target.verify_certificate, timeout=target.request_timeout,
                                   allow_redirects=target.redirects)
        except requests.RequestException as error:
            target.logger.warning("A Connection error occurred: %s", type(error).__name__)
            return False
        if answer.status_code != requests.codes.ok:
            target.logger.warning("Failed to send: error=%d.", answer.status_code)
        return bool(answer.status_code == requests.codes.ok)

    return send
