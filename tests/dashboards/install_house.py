"""A gateway to install, in memory: every step of the installer's page answers as the real one does."""
# ruff: noqa: E501  tables of what is shown

from __future__ import annotations

from dashboards.install_view import (
    Accepted,
    FoundDevice,
    FoundMatch,
    InstallDevice,
    InstallLine,
    InstallOutput,
    InstallVersion,
    InstallView,
    InstallZone,
    NetworkCheck,
    SaveAnswer,
    SaveAsk,
    ScanAsk,
    ShownClaim,
    WalkStep,
)
from device_model.errors import LocalFault
from device_model.site import Text
from provisioning.qr_label import qr_svg

AT = 1_772_500_000_000_000
CODE = "7K3F-Q9XM-2TD"


class MemoryInstaller:
    """`dashboards.install_view.Installer`."""

    def __init__(self) -> None:
        self.saved: list[SaveAsk] = []
        self.steps: dict[str, WalkStep] = {}
        self.undone = 0
        self.limits: list[bool] = []
        self.taken_over: Accepted | None = None

    def network(self):
        return (NetworkCheck("interface", "ok", Text("network: eth0", "网络接口：eth0")),
                NetworkCheck("cloud", "doubt", Text("the cloud's broker does not answer: timed out", "云端暂不可达：超时"),
                             Text("go on: everything here works without it", "可继续安装：本页功能无需联网")))

    def view(self):
        steps = tuple(self.steps.values())
        walk = {step.device: step.result for step in steps}
        claim = ShownClaim("", "https://cloud.example", CODE, 3000, qr_svg(f"https://cloud.example/claim#{CODE}").decode())
        return InstallView(
            Text("Riverside Gardens", "河畔花园"), "hangzhou/yuhang/cangqian/riverside", True, AT, claim,
            (InstallLine("stair", "tcp", "192.0.2.10:502"),),
            (InstallZone("b1-301", Text("flat 301", "301 室"), "b1/f3"), InstallZone("hall", Text("stair", "楼梯间"), "b1/f3")),
            (InstallDevice("smoke-301", "calectro-ug3", "smoke", "stair", "b1-301", Text("living room", "客厅"), "SN-1",
                           300, 200, "烟雾 / smoke: False", "good", AT, walk.get("smoke-301", ""), False, True),
             InstallDevice("call-1", "call", "call_point", "stair", "hall", Text("call point", "手报"), "", 700, 420, "",
                           "never", 0, walk.get("call-1", ""), True, True)),
            (InstallOutput("horn", "sounder", False, "unproved", False),),
            (InstallVersion(1, AT, "Li Wei", "first site file"), InstallVersion(2, AT, "Li Wei", "scanned")), steps,
            ("calectro-ug3", "sdm120", "wb-msw-v3"), "down", self.taken_over)

    def scan(self, asked: ScanAsk):
        if asked.target == "192.0.2.66":
            raise LocalFault("192.0.2.66:502 is unreachable; check name, permission, cable")
        match = FoundMatch("calectro-ug3", 0.92, Text("6 of 6 blocks answer", "6 个数据块均有应答"))
        return (FoundDevice("stair", "tcp", asked.target, 2, "", "Calectro UG-3", (match,), "", "calectro-ug3-2"),)

    def save(self, asked: SaveAsk, who: str, *, may_remove: bool = True):
        if not asked.devices and not asked.zones:
            return SaveAnswer(False, "")
        if not asked.dry:
            self.limits.append(may_remove)
            self.saved.append(asked)
        diff = "".join(f"+- id: {device.id}\n" for device in asked.devices)
        return SaveAnswer(not asked.dry, diff, (), "" if asked.dry else "added " + asked.devices[0].id)

    def undo(self, who: str):
        self.undone += 1
        return SaveAnswer(True, "-- id: x\n", (), "removed x")

    def difference(self, version: int):
        return f"+ version {version}\n"

    def walk(self, device: str, step: str, who: str, seconds: float, role: str = ""):
        known = self.steps.get(device)
        if step == "begin":
            known = WalkStep(device, "walk", who, AT, AT + 600_000_000, real=device == "call-1")
        elif known is not None and known.result == "running":
            known = WalkStep(device, "walk", who, AT, AT + 600_000_000, "arrived", f"{device}.smoke", "True", AT, 800, True)
        if known is None:
            raise LocalFault("no test has begun")
        self.steps[device] = known
        return known

    def interlock(self, output: str, step: str, who: str, role: str = ""):
        self.steps[output] = WalkStep(output, "interlock", who, AT, AT, "proved", took_ms=400, confirmed=True,
                                      note="reset" if step == "reset" else "")
        return self.steps[output]

    def keep_photo(self, device: str, jpeg: bytes, who: str):
        return "0" * 64

    def photo(self, name: str):
        raise LocalFault("there is no such photo")

    def plan(self, floor: str):
        raise LocalFault("there is no drawing of this floor")

    def report(self, language: str):
        return b"%PDF-1.4 " + language.encode()

    def table(self):
        return "id,profile\r\n"

    def accept(self, who: str, note: str):
        if not note:
            raise LocalFault("not shown to work: call-1; say in the note why it is accepted so")
        self.taken_over = Accepted(who, AT, "0" * 64, note)
        return self.taken_over

    def take_table(self, text: str, who: str, dry: bool, *, may_remove: bool = True):
        return SaveAnswer(False, ""), ("row 2, unit: '300' is no Modbus unit (1 to 247, or empty)",)
