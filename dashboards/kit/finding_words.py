"""Chinese for what the checks of a profile say in English: what is wrong, and what to write instead. Pure.

The checks speak one language, so that a finding is the same on every terminal and in every log. The editor shows them
in the reader's: each sentence by its pattern, names and numbers as they stand. One without a pattern stays as it is.
"""

from __future__ import annotations

import re

_SENTENCES: tuple[tuple[str, str], ...] = (
    # the text
    (r"the (?:file|text) is larger than (\d+) bytes", r"文本超过 \1 字节"),
    (r"split the (?:file|device)|split it", "请拆分"),
    (r"not YAML: (.*)", r"不是有效的 YAML：\1"),
    (r"check indentation, quotes and colons here", "检查此处的缩进、引号和冒号"),
    (r"save it as UTF-8 text", "请存为 UTF-8 文本"),
    (r"the file is empty", "文本为空"),
    (r"see the examples folder for a template", "可参考 examples 文件夹中的模板"),
    (r"nested deeper than (\d+)", r"嵌套超过 \1 层"),
    (r"flatten it", "请减少嵌套"),
    (r"aliases \(\*name\) are not accepted", "不接受别名（*name）"),
    (r"write the value out", "请直接写出其值"),
    (r"a key must be a plain word or number", "键必须是普通单词或数字"),
    (r"quote it(?:, e\.g\. (.*))?", r"请加引号 \1"),
    (r"the key (.*) stands twice", r"键 \1 出现两次"),
    (r"keep one of them|keep one", "请只保留一个"),
    (r"the (?:text|key) holds half a character", "含有不完整的字符"),
    (r"write the character itself", "请直接写出该字符"),
    # keys and values
    (r"unknown key (.*)", r"未知的键 \1"),
    (r"did you mean (.*)\?", r"是否应为 \1？"),
    (r"known keys: (.*)", r"可用的键：\1"),
    (r"the file lacks (.*)", r"缺少 \1"),
    (r"(.*) lacks (.*)", r"\1 缺少 \2"),
    (r"add `([a-z_]+):`", r"请加上 `\1:`"),
    (r"(.*) must be a list", r"\1 必须是列表"),
    (r"(.*) must be a mapping", r"\1 必须是键值映射"),
    (r"write `- item` lines below it", "请在其下逐行写 `- 项`"),
    (r"write `key: value` lines", "请逐行写 `键: 值`"),
    (r"(.*): expected `(.*)`, got `(.*)`", r"\1：应为 `\2`，实为 `\3`"),
    (r"(.*): invalid enum value (.*)", r"\1：没有 \2 这一取值"),
    (r"(.*) is not a finite number", r"\1 不是有限的数"),
    (r"write a whole number", "请写整数"),
    (r"write a(?: plain)? number", "请写数字"),
    (r"write true or false", "请写 true 或 false"),
    (r"write a text", "请写文本"),
    (r"one of: (.*)", r"可选：\1"),
    # points
    (r"quantity (.*) is not known", r"未知的量 \1"),
    (r"see device_model/quantities\.py for the list", "清单见 device_model/quantities.py"),
    (r"(.*) needs a unit", r"\1 需要单位"),
    (r"add `unit:`, one of: (.*)", r"请加上 `unit:`，可选：\1"),
    (r"unit (.*) is written (.*) \(UCUM\)", r"单位 \1 应写作 \2（UCUM）"),
    (r"write `unit: (.*)`", r"请写 `unit: \1`"),
    (r"(.*) may not carry the unit (.*)", r"\1 不能用单位 \2"),
    (r"the point stands nowhere", "该测点没有位置"),
    (r"give `address:` \(Modbus\) or `path:` \(MQTT\)", "请写 `address:`（Modbus）或 `path:`（MQTT）"),
    (r"a register point in a profile without `modbus:`", "型号没有 `modbus:`，却有寄存器测点"),
    (r"a payload point in a profile without `mqtt:`", "型号没有 `mqtt:`，却有报文测点"),
    (r"add `modbus: \{\}`", "请加上 `modbus: {}`"),
    (r"add `mqtt: (.*)`", r"请加上 `mqtt: \1`"),
    (r"address (.*) is not within (.*)", r"地址 \1 不在 \2 之内"),
    (r"write the zero-based wire address \(manuals often count from 1 or 40001\)",
     "请写从 0 起的线上地址（说明书常从 1 或 40001 起）"),
    (r"a point in table (.*) cannot be written", r"\1 表中的测点不可写"),
    (r"only coils and holding registers can, and files", "只有线圈、保持寄存器和文件可写"),
    (r"scale 0 makes every value the same", "系数为 0 时所有数值都相同"),
    (r"scale (.*) is no factor of an instrument", r"\1 不是仪表的系数"),
    (r"write the factor from the manual", "请写说明书中的系数"),
    (r"(.*) cannot stand in a (.*) \((.*)\)", r"\1 放不进 \2（\3）"),
    (r"after sign extension it is (.*): write that", r"符号扩展后为 \1，请写此值"),
    (r"check the type or the value", "检查类型或数值"),
    (r"table (.*) holds bits only", r"\1 表只有位"),
    (r"leave out `type:` and `bit:`", "请去掉 `type:` 和 `bit:`"),
    (r"a bit of a register needs `bit:`", "寄存器中的位需要 `bit:`"),
    (r"add `bit: 0` to 15; bit 0 is the lowest", "请写 `bit:` 0 至 15，0 为最低位"),
    (r"`bit:` does not go with type (.*)", r"`bit:` 不能与类型 \1 并用"),
    (r"bit (.*) is not within 0\.\.15", r"位 \1 不在 0..15 之内"),
    (r"bit 0 is the lowest", "0 为最低位"),
    (r"(.*) is true or false, the register is a number", r"\1 为是或否，而寄存器是数值"),
    (r"(.*) is a number, the register is one bit", r"\1 为数值，而寄存器是一位"),
    (r"add `bit:`", "请加上 `bit:`"),
    (r"choose a true/false quantity, or leave out `bit:`", "请选是或否的量，或去掉 `bit:`"),
    (r"(unit_point|decimals_point) (.*) is not another point of this profile", r"\1 \2 不是本型号的另一个测点"),
    (r"(.*) s, but read only each (.*) s: always silent", r"\1 秒即过期，但每 \2 秒才读一次：总会离线"),
    (r"allow at least two missed polls", "至少应容许漏读两次"),
    (r"(\w+) (.*) is not below (\w+) (.*)", r"\1 \2 不小于 \3 \4"),
    (r"swap them", "请对调"),
    (r"(\w+) is negative", r"\1 为负"),
    (r"(\w+) must be positive", r"\1 必须为正"),
    (r"write seconds", "请写秒数"),
    (r"write 0 or more", "请写 0 或更大"),
    (r"leave it out", "请去掉"),
    (r"a point of certainty C may not be written", "可靠程度为 C 的测点不可写"),
    (r"verify the register, then raise certainty", "请核对寄存器后再提高可靠程度"),
    (r"the point cites no source", "该测点没有出处"),
    (r"add `source:` to the point or the profile", "请在测点或型号中加上 `source:`"),
    (r"YAML reads this word as true or false", "YAML 会把该词读成 true 或 false"),
    (r"(.*) does not go with (.*)", r"\1 不能与 \2 并用"),
    (r"remove one of the two", "请去掉其中之一"),
)
_PATTERNS = tuple((re.compile(pattern), chinese) for pattern, chinese in _SENTENCES)


def finding_words(text: str) -> str:
    """A sentence of a finding in Chinese; as it stands where it has no pattern."""
    for pattern, chinese in _PATTERNS:
        found = pattern.fullmatch(text)
        if found is not None:
            return found.expand(chinese).strip()
    return text
