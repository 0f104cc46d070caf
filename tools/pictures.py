"""Every page in pictures: `python -m tools.pictures` takes them anew and writes docs/pictures.md and its Chinese.

They are taken on the way of the main paths (tests/system/test_main_paths.py): real gateway, real cloud, devices
of the simulator, and the people of a first day. Needs chromium and ffmpeg (fewer colours: each stays under 120 kB).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "pictures"
VARIABLE = "TOCSIN_PICTURES_TO"
BYTES_MAX = 120_000
LANGUAGES = ("en", "zh")
FEWER = "split[a][b];[a]palettegen=max_colors=64[p];[b][p]paletteuse=dither=none"

# (picture, where, what it is for). where: the route, after the program that serves it when that is not the cloud.
PAGES: tuple[tuple[str, str, str, str], ...] = (
    ("sign-in", "/sign-in", "Signing in: name and password, the second step after it.",
     "登录：姓名与密码，其后是第二步验证。"),
    ("account", "/account", "The own account: password, second factor, where one is signed in.",
     "我的账号：密码、二次验证、已登录的设备。"),
    ("people", "/people", "The administrator lets people in, resets them, shuts them out.",
     "管理员添加人员、重置密码、停用账号。"),
    ("audit", "/audit", "The auditor sees who did what, and that the chain holds.",
     "审计员查看谁做了什么，以及审计链完整。"),
    ("refused", "refused", "Whoever may not open a page is told so, and nothing more.",
     "无权打开的页面只说明无权，不透露其他。"),
    ("offline", "/offline", "Without contact: no old data, only that there is none.",
     "断网时：不显示旧数据，只说明没有联系。"),
    ("board", "/board", "The brigade's board: alarms by severity and age, what does not protect beside them.",
     "消防队看板：按级别和时间排列的警情，旁边是失效项。"),
    ("board-phone", "/board", "The same on a phone.",
     "手机上的看板。"),
    ("map", "/map", "The map of the district: where it burns among all sites, without any net.",
     "辖区地图：断网也能看到哪里着火。"),
    ("incident", "/incidents/{incident}",
     "One incident whole: plan, water, people, steps, evidence, permit, timeline.",
     "一起警情的全部：平面图、水源、联系人、步骤、证据、作业票、时间线。"),
    ("desk", "/desk", "The monitoring centre's desk: one queue of work, by keyboard.",
     "监控中心坐席：一个待办队列，全键盘操作。"),
    ("register", "/register", "What is out of service, silenced, shelved, inspected.",
     "停用、静音、搁置与检查的登记。"),
    ("handover", "/handover", "A shift is handed over with what stands open.",
     "交接班：带着未了事项。"),
    ("station", "/station", "The micro fire station's phone: receive, arrive, report.",
     "微型消防站手机页：接警、到场、反馈。"),
    ("my-sites", "/my-sites", "The property manager: what needs me, maintenance, duty rota, meters.",
     "物业：待办事项、维护停用、值班表、用电用水。"),
    ("my-sites-phone", "/my-sites", "The same on the contractor's phone.",
     "维保人员手机上的同一页面。"),
    ("claim", "/claim", "The owner claims a gateway with the code on its label.",
     "业主用标签上的代码认领网关。"),
    ("walk-tests", "/walk-tests", "What installers' tests have shown: expected, connected, proven alive.",
     "安装测试记录：应有、在线、已证明有效。"),
    ("channels", "/channels", "Where people and programs are told; a test message to each.",
     "警情发往哪里；可向每个渠道发送测试消息。"),
    ("building", "/building", "The resident: my building in plain words, what to do, a report.",
     "居民：用平实的话说明我的楼宇、该做什么、上报隐患。"),
    ("overview", "/overview", "The safety officer's district at a glance.",
     "安监员的辖区总览。"),
    ("hot-work", "/hot-work", "Hot work now: permits, cameras, gas, watchers.",
     "当前动火作业：作业票、摄像机、气体、监护人。"),
    ("permits", "/permits", "Permits asked for, approved, confirmed by the gateway.",
     "作业票的申请、批准与网关确认。"),
    ("reports", "/reports", "Reports as PDF and CSV, notices of rectification.",
     "日报周报月报与整改通知书。"),
    ("packs", "/packs", "Rule packs, their standards, and numbers tested before they are switched on.",
     "规则包、依据的标准，参数先回测后启用。"),
    ("environment", "/environment", "Air, dust, noise and water by place.",
     "各处的空气、扬尘、噪声与水。"),
    ("public", "/public", "What is published to everybody, read-only.",
     "向公众发布的只读页面。"),
    ("local", "gateway /", "The gateway's own page: works with the cloud gone.",
     "网关本地页面：没有云也能用。"),
    ("matrix", "gateway /matrix", "Cause and effect of this site.",
     "本单位的联动矩阵。"),
    ("install", "gateway /install", "The installer's phone: scan, place, walk test, report.",
     "安装人员手机页：扫描、布点、逐点测试、验收报告。"),
    ("cameras", "cameras /cameras", "The cameras of a gateway: zones and masks, drawn by mouse or keyboard.",
     "网关的摄像机：用鼠标或键盘绘制区域与遮罩。"),
    ("sweep", "cameras /sweep", "The last sweep: how many were seen, which are silent.",
     "最近一次轮巡：看到多少路，哪些无应答。"),
    ("labelling", "cameras /labelling", "Clips get their labels by keyboard; they never leave the site.",
     "键盘标注片段；片段不离开本站点。"),
    ("tester", "simulator /tester", "The tester's page: devices, registers, frames, world, faults.",
     "测试人员页面：设备、寄存器、报文、环境、故障。"),
    ("profiles", "simulator /profiles", "The profile editor: checked as it is typed, tried on a real port.",
     "设备型号编辑器：边输入边校验，可在真实端口上试运行。"),
)
_HEAD = {
    "en": ("# Every page in pictures", "",
           "Taken by `make pictures` on the way of the main paths of all roles: a real gateway, the real community",
           "OS, devices of the simulator. [中文](pictures.zh.md). The guides show each step:",
           "[property](guide-property.md), [brigade](guide-brigade.md), [officer](guide-officer.md),",
           "[tester](guide-tester.md). The cameras' pages are from their own tests.", ""),
    "zh": ("# 全部页面图", "",
           "由 `make pictures` 在各角色主要流程中拍摄：真实网关、真实社区操作系统、模拟器设备。",
           "[English](pictures.md)。",
           "逐步说明见：[物业](guide-property.zh.md)、[消防队](guide-brigade.zh.md)、[安监员](guide-officer.zh.md)、"
           "[测试人员](guide-tester.zh.md)。摄像机页面图取自其自身测试。", ""),
}


def index(language: str) -> str:
    """docs/pictures.md, or its Chinese."""
    lines = list(_HEAD[language])
    for name, where, en, zh in PAGES:
        words = en if language == "en" else zh
        lines += [f"## {where}" if "/" in where else f"## ({where})", "", words, "",
                  f"![{words}](pictures/page-{name}-{language}.png)", ""]
    return "\n".join(lines)


def index_file(language: str) -> Path:
    """Where the index of that language stands."""
    return ROOT / "docs" / ("pictures.md" if language == "en" else "pictures.zh.md")


def take() -> int:
    """All pictures; the exit code of the paths on which they are taken."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    walked = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "900",
                             "tests/system/test_main_paths.py"], cwd=ROOT, check=False,
                            env={**os.environ, VARIABLE: str(FOLDER)})
    for language in LANGUAGES:
        index_file(language).write_text(index(language), encoding="utf-8")
    return walked.returncode


if __name__ == "__main__":
    sys.exit(take())
