// How units are written for people: the same table as device_model/quantities.py, held equal by a test.
export const DISPLAY = {
  "Cel": "°C", "[degF]": "°F", "%[LEL]": "%LEL", "[ppm]": "ppm", "[ppb]": "ppb", "ug/m3": "µg/m³",
  "mg/m3": "mg/m³", "kW.h": "kWh", "W.h": "Wh", "V.A": "VA", "kV.A": "kVA", "[psi]": "psi",
  "dB[A]": "dB(A)", "dB[mW]": "dBm", "A.h": "Ah", "m3": "m³", "m3/h": "m³/h", "Ohm": "Ω", "1": "",
  "uS/cm": "µS/cm", "[NTU]": "NTU", "uW/cm2": "µW/cm²",
};
export const unit = (code) => (code in DISPLAY ? DISPLAY[code] : code);
