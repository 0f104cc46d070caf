"""Chinese for what the engine and the gateway say in English: "temperature rise over 60 s 15.4 °C >= 8.3 °C".

Such details are evidence and travel as one text that is equal everywhere. The page shows them in the reader's
language by replacing the words; numbers, units and ids stay as they are.
"""

from __future__ import annotations

from device_model.quantities import QUANTITIES

_WORDS = {
    "rise over": "上升，时窗", "over": "时窗", "dose": "剂量", "mean": "均值", "rate": "变化率", "true": "是",
    "false": "否", "silent": "离线", "garbled": "数据错乱", "over_range": "超量程", "error_value": "错误值",
    "line_down": "线路中断", "device_fault": "设备故障", "warm_up": "预热中", "not_yet_read": "尚未读到",
    "no fresh value for": "无新值已", "nothing fresh within the limit of its points": "各测点均超时未更新",
    "second_detector": "第二个探测器", "call_point": "手动报警按钮", "unproved": "未经验证", "proved": "已验证",
    "by": "由", "device.all": "设备全部测点", "device.any": "设备任一测点", "zone.any": "区域内任一", "on": "接通",
    "its asker is not connected": "查岗方未连接", "the asker did not confirm it in time": "查岗方未按时确认",
    "no such duty check waits for an answer": "没有待应答的此项查岗",
    "the time for this duty check is over": "查岗已超时",
    "has answered it already": "已应答", "the gateway started anew before it was sent": "发送前网关已重启",
    "reset by": "复位人：", "unknown": "未知", "arrived late": "迟到",
    "walk test": "逐点测试", "walk test ended": "逐点测试结束", "off": "断开", "unanswered": "超时未应答", "in": "于",
}


def phrases() -> dict[str, str]:
    """English → Chinese, longest first, so that "rise over" is found before "over"."""
    names = {quantity.en: quantity.zh for quantity in QUANTITIES.values()}
    ids = {quantity.name: quantity.zh for quantity in QUANTITIES.values()}
    both = {**ids, **names, **_WORDS}
    return {english: both[english] for english in sorted(both, key=lambda word: (-len(word), word))}
