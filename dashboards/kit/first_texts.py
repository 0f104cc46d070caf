"""Texts of the page of a gateway that nobody has claimed yet, in Chinese and English."""

from __future__ import annotations

from device_model.site import Text

FIRST_TEXTS: dict[str, Text] = {
    "first.title": Text("First day of this gateway", "网关首次启用"),
    "first.pin": Text("1 · You", "1 · 您的姓名和密码"),
    "first.pin.hint": Text("Whoever sets the gateway up chooses a PIN of 6 or more for this page. Remember it.",
                           "由安装人员设置本页面密码（至少 6 位），请牢记。"),
    "first.pin.go": Text("Begin", "开始"),
    "first.pin.taken": Text("Somebody has begun here. Sign in with that name and PIN. If it was nobody of yours: do "
                            "not claim this gateway, and ask who is on this network.",
                            "已有人开始设置，请用该姓名和密码登录。若不是您的人员，请勿认领，并查明本网络中的来人。"),
    "first.network": Text("Network of this gateway", "网关网络状况"),
    "first.cloud": Text("2 · Community OS", "2 · 云端平台"),
    "first.cloud.address": Text("Address of the community OS", "云端平台地址"),
    "first.cloud.hint": Text("As your operator gave it, such as https://cloud.example",
                             "由运营单位提供，如 https://cloud.example"),
    "first.cloud.go": Text("Show the claim code", "显示认领码"),
    "first.code": Text("3 · Claim", "3 · 业主认领"),
    "first.code.hint": Text("The owner scans this, or types the code at {cloud}/claim. Good for {minutes} min.",
                            "请业主扫码，或在 {cloud}/claim 输入认领码，{minutes} 分钟内有效。"),
    "first.code.wait": Text("Waiting for the owner… this page goes on by itself.", "等待业主认领……完成后自动继续。"),
    "first.code.label": Text("Label for the box", "设备标签"),
    "first.code.new": Text("Another code", "更换认领码"),
    "first.code.later": Text("Sign in to see the claim code.", "登录后显示认领码。"),
    "first.code.telling": Text("Telling the cloud that this gateway waits…", "正在告知云端本网关等待认领……"),
    "first.claimed": Text("Claimed: {gateway}. Writing its first site file, starting it…",
                          "已认领：{gateway}。正在生成站点文件并启动……"),
    "first.silent": Text("The cloud does not answer: {why}. It is tried again.", "云端无应答：{why}。将自动重试。"),
    "first.refused": Text("The cloud refused: {why}. A new code is shown.", "云端拒绝：{why}。已更换认领码。"),
    "first.fault": Text("It does not go on: {why}", "无法继续：{why}"),
}
