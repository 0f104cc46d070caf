"""Texts of the report, in both languages: key → (zh, en)."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "title": ("场景验收报告", "Scenario acceptance report"),
    "pass": ("通过", "PASS"), "fail": ("不通过", "FAIL"),
    "scenario": ("场景", "Scenario"), "site": ("站点", "Site"), "seed": ("随机种子", "Seed"),
    "duration": ("场景时长", "Duration"), "wall": ("运行用时", "Run time"),
    "digest": ("运行摘要", "Digest of the run"),
    "hash_scenario": ("场景文件", "Scenario file"), "hash_site": ("站点文件", "Site file"),
    "hash_pack": ("规则包", "Rule pack"), "versions": ("软件版本", "Versions"),
    "without": ("已停用", "Disabled for this run"),
    "without_note": ("此次运行停用了一项保护，结论应为“不通过”。",
                     "A protection was disabled for this run: the verdict must be FAIL."),
    "expected": ("预期与实测", "Expected and seen"), "result": ("结果", "Result"), "kind": ("类别", "Kind"),
    "wanted": ("预期", "Expected"), "seen": ("实测", "Seen"), "delay": ("延时 (s)", "Delay (s)"),
    "ok": ("符合", "met"), "no": ("不符", "NOT MET"),
    "unexpected": ("未预期的报警", "Unexpected alarms"), "none": ("无", "none"),
    "readings": ("读数曲线", "Readings"), "timeline": ("经过", "Timeline"), "time": ("时间 (s)", "Time (s)"),
    "who": ("来源", "Source"), "what": ("事项", "What"), "detail": ("详情", "Detail"),
    "tester": ("测试人", "Tester"), "witnessed": ("见证人", "Witness"), "date": ("日期", "Date"),
    "signature": ("签字", "Signature"), "remarks": ("备注", "Remarks"),
    "identity": ("运行依据", "What was run"),
    "notice": ("本系统为辅助系统，不能替代经认证的火灾报警控制器、用户信息传输装置或安全仪表功能。"
               "本报告为虚拟时间仿真，不能替代现场试验。",
               "Tocsin supplements approved systems: it is not a certified fire alarm controller, user information "
               "transmission device or safety function. This report is of a simulation in virtual time; it does not "
               "replace tests on site."),
    "more": ("另有 {} 条，见同名 JSON 文件。", "{} more in the JSON file of the same name."),
    "alarm": ("报警", "alarm"), "fault": ("故障", "fault"), "incident": ("事件", "incident"),
    "output": ("输出", "output"), "world": ("环境", "world"), "impairment": ("失效", "impairment"),
    "silent_device": ("失联", "silent device"), "reading": ("读数", "reading"), "no_alarm": ("不得报警", "no alarm"),
    "fire": ("火灾", "fire"), "sound": ("程序", "programs"),
    "rule": ("规则", "Rule"), "subject": ("对象", "Subject"), "severity": ("级别", "Severity"),
    "gateway": ("网关", "gateway"), "cloud": ("平台", "community OS"), "person": ("人员", "person"),
    "begins": ("开始", "begins"), "ends": ("结束", "ends"), "stimulus": ("示值变化", "shows"), "cut": ("中断", "cut"),
    "raised": ("报警", "raised"), "held": ("保持", "held"), "cleared": ("解除", "cleared"),
    "verified": ("核实", "verified"), "incident state": ("事件状态", "incident state"),
    "impairment over": ("失效解除", "impairment over"), "acknowledge": ("确认", "acknowledges"),
    "alarm_acknowledged": ("确认已下达", "acknowledgement told"), "reset": ("复位", "resets"),
    "reset_alarm": ("复位", "reset"), "silence": ("消音", "silences"), "silence_sounder": ("消音", "silenced"),
    "test": ("测试", "tests"), "test_mode": ("测试模式", "test mode"), "isolate": ("屏蔽", "isolates"),
    "restore": ("恢复", "restores"),
}


def text(key: str, language: str) -> str:
    """The text in "zh" or "en"; the key itself where there is none."""
    pair = TEXTS.get(key)
    return key if pair is None else pair[0 if language.startswith("zh") else 1]
