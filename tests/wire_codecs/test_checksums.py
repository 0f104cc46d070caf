"""Checksums against samples that others printed; each name must not give another's value."""

from __future__ import annotations

import pytest

from wire_codecs import crc16_dc09, crc16_hj212, crc16_modbus, modbus_frame

# Reference hj212.md section 9: annex examples and samples from public code.
HJ212 = (
    ("QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&", "1C80"),
    ("QN=20240601085857223;ST=32;CN=1011;PW=123456;MN=010000A8900016F000169DC0;Flag=9;CP=&&&&", "2200"),
    ("QN=20160801085857223;ST=91;CN=9011;PW=123456;MN=010000A8900016F000169DC0;Flag=4;CP=&&QnRtn=1&&", "1B00"),
    ("QN=20160801085857223;ST=91;CN=9012;PW=123456;MN=010000A8900016F000169DC0;Flag=4;CP=&&ExeRtn=1&&", "6240"),
    ("QN=20160801085857223;ST=91;CN=9013;PW=123456;MN=010000A8900016F000169DC0;Flag=4;CP=&&&&", "2A80"),
    ("QN=20160801085857223;ST=91;CN=9014;PW=123456;MN=010000A8900016F000169DC0;Flag=4;CP=&&&&", "3240"),
    ("QN=20160801085857223;ST=32;CN=1000;PW=123456;MN=010000A8900016F000169DC0;Flag=5;CP=&&OverTime=5;ReCount=3&&",
     "CAC1"),
    ("QN=20160801085857223;ST=32;CN=2011;PW=123456;MN=010000A8900016F000169DC0;Flag=5;CP=&&&&", "30C0"),
    ("QN=20160801085857223;ST=23;CN=2011;PW=123456;MN=010000A8900016F000169DC0;Flag=5;CP=&&DataTime=20160801085857;"
     "LA-Rtd=50.1&&", "0880"),
    ("QN=20190813155800001;ST=22;CN=2051;PW=123456;MN=2019051703100020;Flag=5;CP=&&DataTime=20190813155800;"
     "LAMPBLACK-Rtd=0.0,LAMPBLACK-Flag=N&&", "9B81"),
    ("ST=32;CN=2011;PW=123456;MN=NJGDKYYC202101q0001w0001;CP=&&DataTime=20210305003817000;ele01-Rtd=1;ele02-Rtd=0&&",
     "8C41"),
)
# Reference sia_dc09.md section 5.
DC09 = (
    ("F4D2", '"SIA-DCS"0001RF3L77#1234[#1234|NRR|Atest]'), ("96ED", '"SIA-DCS"0001L0#1234[]'),
    ("E441", '"NAK"0000R0L0A0[]_16:20:01,09-24-2025'), ("3BAC", '"SIA-DCS"0002#0123[#0123|Nti20:50:26RP99]'),
    ("4358", '"SIA-DCS"0084L0#AAA[#AAA|Nri1/XC12]'), ("CE11", '"SIA-DCS"9876R579BDFL789ABC#12345A[#12345A|NFA129]'),
    ("87CD", '"ADM-CID"9876R579BDFL789ABC#12345A[#12345A|1110 00 129]'),
    ("CA2F", '"NULL"0000L0#7890[#0000|0000 00 000]_22:13:29,12-29-2022'),
    ("76D8", '"*NULL"0000R0L0#AAAB[B4BC8B40D0E6D959D6BEA78E88CC0B2155741A3C44FBB96D476A3E557CAD64D9'),
    ("217F", '"SIA-DCS"0007L0#1234[#1234|Nri1/FA129]_12:00:00,01-15-2026'), ("0421", '"ACK"0007L0#1234[]'),
    ("3AFF", '"DUH"0007L0#1234[]'), ("6BF2", '"ADM-CID"0008L0#1234[#1234|1151 01 005]_12:00:05,01-15-2026'),
    ("1EF2", '"NULL"0000L0#1234[]'), ("E5D5", '"SIA-DCS"6002L0#AAA[|Nri1/CL501]_14:12:04,09-25-2019'),
)
# Wrong in their sources, to be refused: (text, printed, right).
HJ212_WRONG = (
    ("ST=32;CN=2011;PW=123456;MN=LD130133000015;CP=&&DataTime=20160824003817;B01-Rtd=36.91;011-Rtd=231.0,011-Flag=N;"
     "060-Rtd=1.803,060-Flag=N&&", "4980", "3C00"),
    ("QN=20190923154847375;ST=39;CN=2011;PW=123456;MN=190720099;Flag=5;CP=&&DataTime=20190923154847;a34004-Rtd=12000,"
     "a34004-Flag=D;a34002-Rtd=16000,a34002-Flag=D;LA-Rtd-Rtd=71.0,LA-Rtd-Flag=N&&", "48C0", "BC81"),
)


@pytest.mark.parametrize(("segment", "printed"), HJ212)
def test_hj212(segment: str, printed: str) -> None:
    assert f"{crc16_hj212(segment.encode()):04X}" == printed


@pytest.mark.parametrize(("segment", "printed", "right"), HJ212_WRONG)
def test_hj212_samples_that_are_wrong_in_their_source(segment: str, printed: str, right: str) -> None:
    assert f"{crc16_hj212(segment.encode()):04X}" == right != printed


@pytest.mark.parametrize(("printed", "content"), DC09)
def test_dc09(printed: str, content: str) -> None:
    assert f"{crc16_dc09(content.encode()):04X}" == printed


@pytest.mark.parametrize("frame", ["010300000002c40b"])
def test_modbus_low_byte_first(frame: str) -> None:
    content = bytes.fromhex(frame)
    assert modbus_frame(content[:-2]) == content


def test_modbus_crc_of_a_private_frame_that_sends_it_high_byte_first() -> None:
    frame = bytes.fromhex(
        "a55a00003b53484d4b313930363030313334c8003c000a0102006401f4021a5d1966b60219021a0216021802180213021e021c021d021d"
        "7e0355aa")
    assert crc16_modbus(frame[:-4]).to_bytes(2, "big") == frame[-4:-2]


def test_none_gives_anothers_value() -> None:
    annex = HJ212[0][0].encode()
    assert crc16_modbus(annex) == 0x0759  # what a generic Modbus CRC gives for the annex example
    assert len({crc16_modbus(annex), crc16_hj212(annex), crc16_dc09(annex)}) == 3
    assert crc16_dc09(b"123456789") == 0xBB3D and crc16_modbus(b"123456789") == 0x4B37  # the catalogue's check values
