/**
 * What is heard when a phase changes: a soft sound, made here, and a notification of the system for
 * those who asked for it. Of several tabs, one rings.
 */

const SILENT = 'solgik.silent';
const SAME_MS = 5_000; // within this, another tab has rung the same boundary
const NOTES = { work: [659.3, 880], break: [880, 659.3], end: [659.3, 880, 987.8] };

let audio = null;

/** Browsers let a page sound only after somebody has touched it. */
function unlock() {
  if (!globalThis.AudioContext) return;
  audio ??= new AudioContext();
  audio.resume().catch(() => {});
}
for (const touch of ['pointerdown', 'keydown']) addEventListener(touch, unlock, { once: true, passive: true });

export const sound = {
  get isOn() {
    return localStorage.getItem(SILENT) === null;
  },
  set isOn(on) {
    if (on) localStorage.removeItem(SILENT);
    else localStorage.setItem(SILENT, '1');
  },
  /** A few sine tones that swell quickly and fade slowly. */
  play(phase) {
    if (audio?.state !== 'running') return;
    NOTES[phase].forEach((frequency, index) => {
      const at = audio.currentTime + 0.05 + index * 0.28;
      const tone = new OscillatorNode(audio, { frequency });
      const volume = new GainNode(audio, { gain: 0 });
      volume.gain.setValueAtTime(0, at);
      volume.gain.linearRampToValueAtTime(0.16, at + 0.03);
      volume.gain.exponentialRampToValueAtTime(0.0005, at + 1.4);
      tone.connect(volume).connect(audio.destination);
      tone.start(at);
      tone.stop(at + 1.5);
    });
  },
};

export const notifications = {
  /** `unsupported`, `default` (nobody was asked), `granted` or `denied`. */
  get permission() {
    return globalThis.Notification?.permission ?? 'unsupported';
  },
  /** To be called by a button alone. */
  async ask() {
    if ((await Notification.requestPermission()) === 'granted') await messenger();
  },
};

/** Who shows notifications where a page may not. */
const messenger = () =>
  navigator.serviceWorker?.register(new URL('bell-worker.js', import.meta.url)).catch(() => undefined); // then sound is all

if (notifications.permission === 'granted') messenger(); // it takes a moment to be there

/** Ring for a boundary, unless another tab has just done so. */
export async function ring({ key, phase }, text) {
  if (!(await claim(`solgik.ring:${key}`))) return;
  if (sound.isOn) sound.play(phase);
  if (notifications.permission !== 'granted') return;
  const options = { tag: 'solgik.timer', icon: new URL('favicon.svg', import.meta.url).href, silent: true };
  try {
    const note = new Notification(text, options);
    note.onclick = () => {
      focus();
      note.close();
    };
  } catch {
    const registration = await messenger(); // a phone's page has to send somebody
    if (registration?.active) await registration.showNotification(text, options);
  }
}

/** The tab that gets the lock keeps it for a while. Without TLS there are no locks, and all ring. */
function claim(name) {
  if (!navigator.locks) return true;
  return new Promise((resolve) => {
    navigator.locks.request(name, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock && new Promise((release) => setTimeout(release, SAME_MS));
    });
  });
}
