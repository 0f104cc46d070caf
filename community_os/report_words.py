"""Words of printed documents, zh and en."""

from __future__ import annotations

from device_model.site import Text

NOT_CERTIFIED = Text("Tocsin supplements approved fire alarm systems; it is not a certified controller.",
                     "警钟系统补充而不替代经认证的火灾自动报警系统。")
_PAIRS: tuple[tuple[str, str, str], ...] = (
    ("report.day", "Daily safety report", "安全日报"), ("report.week", "Weekly safety report", "安全周报"),
    ("report.month", "Monthly safety report", "安全月报"), ("all", "all", "全部"), ("made", "Made", "生成时间"),
    ("states", "States are those of that moment; incidents and times are those of the period.",
     "状态为生成时刻的状态，警情和用时为统计期内数据。"),
    ("figures", "Figures", "总体情况"),
    ("by_day", "Incidents a day", "每日警情"),
    ("by_hazard", "Incidents by kind", "警情类别"),
    ("by_site", "Sites, highest risk first", "各单位（风险从高到低）"),
    ("none", "none", "无"), ("other", "other", "其他"), ("more", "and {n} more", "另有 {n} 项未列"),
    ("sites", "Sites", "单位数"), ("silent", "Silent gateways", "失联网关"),
    ("expected", "Devices expected", "应有设备"), ("connected", "Connected", "在线设备"),
    ("proven", "Proven alive", "经验证在线"), ("open", "Open incidents", "未结警情"),
    ("life_safety", "life safety", "生命安全"), ("impairments", "Impairments", "失效项"),
    ("unwatched", "without a watch", "无看护"), ("overdue", "Overdue checks", "逾期检查"),
    ("incidents", "Incidents", "警情"), ("false", "False alarms", "误报"),
    ("acknowledged", "To acknowledgement (median)", "接警用时（中位数）"),
    ("handled", "To the end (median)", "处置用时（中位数）"), ("permits", "Open permits", "有效作业票"),
    ("hot_work", "Hot work breaches", "违规动火"), ("site", "Site", "单位"), ("risk", "Risk", "风险"),
    ("alive", "Proven / connected / expected", "验证/在线/应有"), ("what", "What", "事项"), ("person", "Who", "人员"),
    ("deadline", "Deadline", "期限"), ("time", "Time", "时间"), ("detail", "Detail", "详情"),
    ("system", "system", "系统"), ("permit", "Permit", "作业票"), ("drill", "DRILL", "演练"),
    ("notice.title", "Rectification notice", "责令整改通知书"), ("notice.to", "To", "被检查单位"),
    ("notice.path", "Place", "辖区路径"), ("notice.facts", "Facts found", "存在的问题"),
    ("notice.clause", "Clause", "依据条款"), ("notice.demand", "To be done", "整改要求"),
    ("notice.deadline", "Deadline", "整改期限"), ("notice.issued", "Issued", "签发时间"),
    ("notice.basis", "Incident", "关联警情"), ("notice.by", "Issued by", "签发人"),
    ("notice.consequence", "Report in writing when it is done; it will be looked at again after the deadline.",
     "整改完成后请书面报告；期限届满后将进行复查。"),
    ("notice.sign.issuer", "Officer (signature)", "检查人（签名）"),
    ("notice.sign.receiver", "Received by (signature)", "签收人（签名）"), ("notice.sign.date", "Date", "日期"),
    ("notice.seal", "(seal)", "（盖章）"), ("notice.done", "Put right:", "已整改："),
    ("dossier.title", "Incident dossier", "警情卷宗"), ("dossier.id", "Incident", "警情编号"),
    ("dossier.place", "Place", "地点"), ("dossier.path", "Tenancy", "辖区路径"), ("dossier.state", "State", "状态"),
    ("dossier.opened", "Opened", "发生时间"), ("dossier.acknowledged", "Acknowledged", "接警"),
    ("dossier.closed", "Closed, cause", "结案、原因"), ("dossier.verification", "Verification", "核实方式"),
    ("dossier.alarms", "Alarms", "报警"), ("dossier.rule", "Rule", "规则"), ("dossier.device", "Device", "设备"),
    ("dossier.timeline", "Timeline", "时间线"), ("dossier.tasks", "Tasks", "任务"),
    ("dossier.result", "Done, result", "完成、结果"), ("dossier.permits", "Permits of the place", "该处作业票"),
    ("dossier.evidence", "Evidence (hash of the file as received)", "证据（接收文件的散列值）"),
    ("dossier.camera", "Camera, place", "摄像机、位置"), ("dossier.audit", "Audit chain", "审计链"),
    ("hazard.fire", "fire", "火警"), ("hazard.call_point", "call point", "手动报警"),
    ("hazard.gas_high", "high gas", "燃气高报"), ("hazard.co", "CO", "一氧化碳"), ("hazard.gas", "gas", "燃气"),
    ("hazard.water", "water", "水浸"), ("hazard.fire_water", "fire water", "消防水"),
    ("hazard.electrical", "electrical", "电气火灾"), ("hazard.charging", "charging", "充电"),
    ("hazard.environment", "environment", "环境"), ("hazard.hot_work", "hot work", "动火"),
    ("hazard.occupancy", "occupancy", "人员密集"), ("hazard.care", "care", "照护"),
    ("hazard.security", "security", "安防"), ("hazard.fault", "fault", "故障"), ("hazard.proof", "proof", "巡检"),
    ("state.new", "new", "新警情"), ("state.confirmed", "confirmed", "已确认"),
    ("state.dispatched", "dispatched", "已派遣"), ("state.on_scene", "on scene", "已到场"),
    ("state.resolved", "resolved", "已处置"), ("state.false", "false alarm", "误报"),
    ("state.closed", "closed", "已结案"), ("state.reopened", "reopened", "重新打开"),
)
WORDS: dict[str, Text] = {key: Text(en, zh) for key, en, zh in _PAIRS}


def word(key: str, language: str, text: Text | None = None) -> str:
    """In "zh" or "en". KeyError for an unknown key, so that a slip fails in tests."""
    return (text or WORDS[key]).in_language(language)
