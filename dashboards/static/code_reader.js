// Reads a QR code by the phone: the browser's own reader where it has one, else jsQR, which is loaded only then.
//   camera (a secure page) ─┬─► picture, at most 1280 wide ─► BarcodeDetector | jsQR ─► text, at most 300 characters
//   photo                   ┘   nothing is sent anywhere: a picture never leaves the page
const WIDEST = 1280, TEXT_MOST = 300, PHOTO_BYTES_MOST = 30 * 1024 * 1024, EVERY_MS = 200;
// A photo's code may be small in it, or so near that grain tears it: the same picture in several sizes.
const SIZES = [1, .6, .35, 1.6];
let reader = null;

function loaded(address) {
  return new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = address; script.onload = done; script.onerror = () => failed(new Error(address));
    document.head.append(script);
  });
}
async function own() {
  if (!("BarcodeDetector" in window)) return null;
  try {
    const formats = await window.BarcodeDetector.getSupportedFormats();
    return formats.includes("qr_code") ? new window.BarcodeDetector({ formats: ["qr_code"] }) : null;
  } catch { return null; }  // some browsers name it and bring none
}
async function ready() {
  if (reader) return reader;
  const detector = await own();
  if (!detector && !window.jsQR) await loaded("/static/vendor/jsqr-1.4.0/jsQR.js");
  reader = async (canvas) => {
    if (detector) {
      try { const [one] = await detector.detect(canvas); return one?.rawValue || ""; } catch { /* ours reads it */ }
      if (!window.jsQR) await loaded("/static/vendor/jsqr-1.4.0/jsQR.js");
    }
    const picture = canvas.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, canvas.width, canvas.height);
    return window.jsQR(picture.data, picture.width, picture.height)?.data || "";
  };
  return reader;
}
const clean = (text) => [...text].filter((letter) => letter >= " " && letter !== "\u007f").join("").trim().slice(0, TEXT_MOST);

async function readIn(source, wide, high, times) {
  const read = await ready(), canvas = document.createElement("canvas");
  const scale = Math.min(1, WIDEST / Math.max(wide, high)) * times;
  canvas.width = Math.max(1, Math.round(wide * scale)); canvas.height = Math.max(1, Math.round(high * scale));
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.imageSmoothingQuality = "high"; pen.drawImage(source, 0, 0, canvas.width, canvas.height);
  return clean(await read(canvas));
}

/** The text of the code in a photo; "" where none is found. Error: no picture, or larger than 30 MiB. */
export async function readPhoto(file) {
  if (file.size > PHOTO_BYTES_MOST) throw new Error("too large");
  const picture = await createImageBitmap(file);
  try {
    for (const times of SIZES) {
      const text = await readIn(picture, picture.width, picture.height, times);
      if (text) return text;
    }
    return "";
  } finally { picture.close(); }
}

/** Whether this page may ask for the camera: phones give it to https pages alone. */
export const hasCamera = () => Boolean(window.isSecureContext && navigator.mediaDevices?.getUserMedia);

/** Shows the camera in a video element until a code is read, or `signal` aborts: its text, or "". */
export async function readCamera(video, signal) {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } } });
  try {
    video.srcObject = stream; await video.play();
    while (!signal.aborted) {
      if (video.videoWidth) {
        const text = await readIn(video, video.videoWidth, video.videoHeight, 1);
        if (text && !signal.aborted) return text;
      }
      await new Promise((done) => { setTimeout(done, EVERY_MS); });
    }
    return "";
  } finally { stream.getTracks().forEach((track) => track.stop()); video.srcObject = null; }
}

/** What a code on a device means here. known: ids of this site's devices, serials by id; path: of the site.
 *  {device}: its label; {foreign}: a label of another site; {serial}: anything else, a maker's number. */
export function meaningOf(text, path, devices) {
  const label = /^tocsin:([a-z0-9/-]+)\/([a-z0-9-]+)$/.exec(text);
  if (label) return label[1] === path ? { device: label[2] } : { foreign: label[1] };
  const owner = devices.find((one) => one.serial && one.serial === text);
  return owner ? { device: owner.id, serial: text } : { serial: text };
}
