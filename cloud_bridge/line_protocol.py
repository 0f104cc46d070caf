"""Line protocol (pure): samples as InfluxDB 1.x, 2, 3 and VictoriaMetrics take them. docs/series.md has the schema.

    temperature,device=climate-3,gateway=gw-1,point=temperature,site=…,unit=Cel,zone=b1-301
        value=21.5,quality=2i,lane="telemetry",epoch="e1",sequence=42i 1790000000000000

The measurement is the quantity, so that one field has one type. A bad sample has no value at all, never a number.
Time is µs (`precision=us`, in 1.x `u`). A batch that is sent twice is stored once: tags and time are the key.
Source: InfluxDB OSS line protocol reference (escaping, types, order of tags).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from device_model.reading import Quality
from device_model.series import QUALITY_CODE, Sample

_KEY = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ "})
_MEASUREMENT = str.maketrans({",": "\\,", " ": "\\ "})
_TEXT = str.maketrans({"\\": "\\\\", '"': '\\"'})
# A string field longer than this is refused by InfluxDB.
TEXT_MAX = 64_000


def encode_sample(sample: Sample, *, tenancy: bool = False) -> str:
    """One line, without its end. tenancy: city, district and street of the site's path are tags as well, so that a
    server of many sites can be asked for a district. ValueError for a number that the protocol cannot say (infinity,
    NaN), an empty tag, a control character in a tag, or a text beyond TEXT_MAX."""
    tags = {
        "device": sample.device, "gateway": sample.gateway, "point": sample.point.partition(".")[2],
        "site": sample.site, "unit": sample.unit, "zone": sample.zone}
    if tenancy:
        # One path has one of each: no further series come of it.
        parts = dict(zip(("city", "district", "street"), sample.site.split("/")[:-1], strict=False))
        tags = dict(sorted({**tags, **parts}.items()))
    line = sample.quantity.translate(_MEASUREMENT)
    for name, value in tags.items():
        if not value or value != value.strip() or any(ord(letter) < 32 for letter in value):
            raise ValueError(f"{sample.point}: tag {name}={value!r} cannot be written")
        if value.endswith("\\"):
            raise ValueError(f"{sample.point}: tag {name}={value!r} ends in a backslash")
        line += f",{name}={value.translate(_KEY)}"
    return f"{line} {','.join(_fields(sample))} {sample.time_us}"


def encode_batch(samples: Iterable[Sample]) -> bytes:
    """Lines as one request's body. Raises as `encode_sample`."""
    return "\n".join(map(encode_sample, samples)).encode()


def _fields(sample: Sample) -> list[str]:
    fields = [] if sample.value is None else [_value(sample)]
    fields.append(f"quality={QUALITY_CODE[sample.quality]}i")
    if sample.quality is not Quality.GOOD or sample.reason:
        fields.append(f'reason="{sample.reason.value.translate(_TEXT)}"')
    if sample.received_us and sample.received_us != sample.time_us:
        fields.append(f"received_us={sample.received_us}i")
    if sample.sequence:
        fields += [f'lane="{sample.lane.translate(_TEXT)}"', f'epoch="{sample.epoch.translate(_TEXT)}"',
                   f"sequence={sample.sequence}i"]
    return fields


def _value(sample: Sample) -> str:
    value = sample.value
    if isinstance(value, bool):
        return f"state={'true' if value else 'false'}"
    if isinstance(value, str):
        if len(value.encode()) > TEXT_MAX:
            raise ValueError(f"{sample.point}: a text of more than {TEXT_MAX} bytes")
        return f'text="{value.translate(_TEXT)}"'
    number = float(value if value is not None else math.nan)
    if not math.isfinite(number):
        raise ValueError(f"{sample.point}: {number} cannot be written")
    return f"value={number!r}"
