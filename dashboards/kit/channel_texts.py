"""Texts of the page of channels, in Chinese and English. `texts.py` takes them into its one table."""

from __future__ import annotations

from device_model.site import Text

CHANNEL_TEXTS: dict[str, Text] = {
    "nav.channels": Text("Channels", "通知渠道"),
    "channels.title": Text("Channels", "通知渠道"),
    "channels.about": Text(
        "Where people and programs are told. They are set in cloud.yaml; addresses and secrets are never shown. What "
        "became of each message stands on its incident.",
        "警情发往哪里。渠道在 cloud.yaml 中设置；地址和密钥从不显示。每条消息的结果见其警情页面。"),
    "channels.none": Text("No channel yet: add one under `endpoints` in cloud.yaml (docs/channels.md).",
                          "暂无渠道：请在 cloud.yaml 的 endpoints 中添加（docs/channels.zh.md）。"),
    "channels.narrow": Text("Channels are the whole cloud's: an administrator without a narrower scope sees them.",
                            "渠道属于整个云端：仅全域管理员可见。"),
    "channels.kind.webhook": Text("webhook for programs", "程序接口（webhook）"),
    "channels.kind.apprise": Text("message to people", "发给人员的消息"),
    "channels.for": Text("for", "对象"),
    "channels.audience.property": Text("property", "物业"),
    "channels.audience.brigade": Text("brigade", "消防"),
    "channels.audience.officer": Text("officer", "安监"),
    "channels.audience.resident": Text("residents", "居民"),
    "channels.language.zh": Text("Chinese", "中文"),
    "channels.language.en": Text("English", "英文"),
    "channels.language.both": Text("Chinese and English", "中英双语"),
    "channels.per_minute": Text("at most {n} a minute; fire never waits", "每分钟最多 {n} 条；火警从不等待"),
    "channels.test": Text("Send a test message", "发送测试消息"),
    "channels.taken": Text("{name}: the service took the test message after {s} s. Look whether it arrived.",
                           "{name}：服务方已接收测试消息，用时 {s} 秒。请确认是否收到。"),
    "channels.refused": Text("{name}: the test message was not taken. The service says:",
                             "{name}：测试消息未被接收。服务方回答："),
    "channels.wait": Text("{name}: a test message went out just now; the next in {n} s.",
                          "{name}：刚刚已发送过测试消息，{n} 秒后可再发。"),
}
