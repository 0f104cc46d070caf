"""Words of the acceptance report, in Chinese and English."""

from __future__ import annotations

from device_model.site import Text

WORDS: dict[str, Text] = {
    "title": Text("Acceptance report", "安装验收报告"),
    "site": Text("Site", "单位"), "address": Text("Address", "地址"), "gateway": Text("Gateway", "网关"),
    "claimed": Text("claimed, certificate of the cloud", "已认领，持云端证书"),
    "unclaimed": Text("NOT CLAIMED: nothing goes to the cloud", "未认领：数据不会上传云端"),
    "made": Text("Made at", "生成时间"), "version": Text("Version of the site file", "站点文件版本"),
    "counts": Text("Devices", "设备"),
    "counts.text": Text("{devices} installed, {tested} seen in the walk test",
                        "已安装 {devices} 台，走查通过 {tested} 台"),
    "plan": Text("Plan: {floor}", "平面图：{floor}"), "devices": Text("Device list", "设备清单"),
    "d.id": Text("Name", "编号"), "d.place": Text("Place", "位置"), "d.model": Text("Model", "型号"),
    "d.serial": Text("Serial number", "序列号"), "d.address": Text("Line, address", "线路、地址"),
    "d.profile": Text("Profile, version", "配置及版本"), "none": Text("not recorded", "未登记"),
    "walk": Text("Walk test", "走查测试"), "walk.none": Text("No device was tested.", "尚未进行走查测试。"),
    "walk.left": Text("Not shown to work: {devices}", "尚未证明有效：{devices}"),
    "w.device": Text("Device", "设备"), "w.output": Text("Output", "输出"), "w.who": Text("Who", "测试人"),
    "w.when": Text("When", "时间"), "w.result": Text("Result", "结果"), "w.value": Text("Value", "数值"),
    "w.took": Text("Time", "用时"),
    "r.arrived": Text("ARRIVED", "已收到"), "r.missed": Text("NOT SEEN", "未收到"),
    "r.running": Text("not ended", "未结束"), "r.proved": Text("PROVED", "已证实"),
    "r.unproved": Text("driven, unproved", "已驱动，未经证实"), "r.failed": Text("PROOF FAILED", "证实失败"),
    "r.real": Text("as a real alarm", "按真实报警"), "r.delivered": Text("left for the cloud", "已送往云端"),
    "r.reset": Text("reset", "已复位"),
    "interlock": Text("Interlock test", "联动测试"),
    "interlock.none": Text("No output was tested.", "尚未进行联动测试。"),
    "photos": Text("Photos", "照片"), "lacks": Text("What does not protect now", "当前失效项"),
    "lacks.none": Text("Nothing.", "无。"), "l.kind": Text("Kind", "类型"), "l.subject": Text("Of what", "对象"),
    "l.why": Text("Why, measure meanwhile", "原因及替代措施"), "l.until": Text("Until", "截止"),
    "signatures": Text("Signatures", "签字"),
    "signatures.text": Text("Who signs confirms the facts with this hash: {hash}",
                            "签字人确认与下列校验值一致的内容：{hash}"),
    "s.installer": Text("Installed by", "安装人"), "s.owner": Text("Owner", "业主"),
    "s.contractor": Text("Maintenance contractor", "维保单位"), "s.date": Text("Date", "日期"),
    "page": Text("page {number}", "第 {number} 页"),
    "not_certified": Text("Supplements approved fire alarm systems; no certified controller or transmission device.",
                          "本系统补充而不替代经认证的火灾自动报警系统，不是经认证的控制器或用户信息传输装置。"),
}
