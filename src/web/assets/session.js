/**
 * Who is signed in on this device: the bearer token, when it ends, and the user.
 *
 * It lives in localStorage. That is a considered choice: Solgik authenticates by bearer token
 * only and sets no cookie, so a foreign site can never ride on it (no CSRF, no cross-site socket
 * hijack). A script in this page could read it; the strict CSP ('self' only, nothing inline) and
 * the absence of any HTML built from strings are what keep such a script out.
 */

const KEY = 'solgik.session';
const REFRESH_SHARE = 0.5; // renew the token in the second half of its life

export function openSession() {
  let current = read();
  const listeners = new Set();
  const tell = () => listeners.forEach((listener) => listener(current));

  // Another tab signed in, out, or renewed the token.
  addEventListener('storage', ({ key }) => {
    if (key !== KEY && key !== null) return;
    current = read();
    tell();
  });

  return {
    get token() {
      return current?.token ?? null;
    },
    get user() {
      return current?.user ?? null;
    },
    /** Keep a login, signup or refresh answer. */
    keep({ token, user = current?.user, expires_at }) {
      current = { token, user, expires_at, obtained_at: Date.now() };
      localStorage.setItem(KEY, JSON.stringify(current));
    },
    clear() {
      current = null;
      localStorage.removeItem(KEY);
    },
    get wantsRefresh() {
      const end = Date.parse(current?.expires_at);
      const life = end - current?.obtained_at;
      return life > 0 && Date.now() > end - life * REFRESH_SHARE;
    },
    onElsewhere: (listener) => listeners.add(listener),
  };
}

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY));
  } catch {
    return null;
  }
}
