"""Texts of the page of tests and acceptances, in Chinese and English."""

from __future__ import annotations

from device_model.site import Text

WALK_TEXTS: dict[str, Text] = {
    "nav.walks": Text("Tests and acceptance", "测试与验收"),
    "walks.title": Text("Tests and acceptance", "测试与验收"),
    "walks.intro": Text("What the installers' tests have shown. Records stay here when a gateway is replaced.",
                        "安装人员的测试结果。更换网关后记录仍保留。"),
    "walks.export": Text("Export CSV", "导出 CSV"),
    "walks.none": Text("No site is known here yet: claim a gateway first.", "暂无单位，请先认领网关。"),
    "walks.expected": Text("expected", "应有"),
    "walks.connected": Text("connected now", "当前在线"),
    "walks.proven": Text("proven alive", "已证明有效"),
    "walks.silent": Text("the gateway is silent: what is connected is not known", "网关失联：在线情况未知"),
    "walks.accepted": Text("Accepted by {who}", "{who} 已确认验收"),
    "walks.not_accepted": Text("Not accepted yet", "尚未验收"),
    "walks.device": Text("Device or output", "设备或输出"),
    "walks.result": Text("Newest result", "最近结果"),
    "walks.who": Text("Who", "测试人"),
    "walks.when": Text("When", "时间"),
    "walks.took": Text("Time", "用时"),
    "walks.gone": Text("no longer in the site file", "已不在站点文件中"),
    "walks.untested": Text("never tested", "未测试"),
    "walks.real": Text("as a real alarm", "按真实报警"),
    "walks.delivered": Text("seen on its way to the board", "已送往接警台"),
    "walks.confirmed": Text("order taken by the device", "设备已接受指令"),
    "walks.unconfirmed": Text("order NOT taken by the device", "设备未接受指令"),
    "walks.arrived": Text("ARRIVED", "已收到"),
    "walks.missed": Text("NOT SEEN", "未收到"),
    "walks.proved": Text("PROVED", "已证实"),
    "walks.unproved": Text("driven, unproved", "已驱动，未经证实"),
    "walks.failed": Text("FAILED", "失败"),
    "walks.role.property": Text("property", "物业"),
    "walks.role.contractor": Text("contractor", "维保单位"),
    "walks.role.": Text("at the terminal", "终端操作"),
}
