// Bayeux advice: the server's last word on whether, when and how to come back.

// The hold we reckon with as long as the server has not named one. Too long
// only delays the moment a dead link is noticed; too short cuts live polls.
const DEFAULTS = { reconnect: 'retry', interval: 0, timeout: 60000 };

// Advice replaces all earlier advice, so what is not named here falls back to
// the defaults and never to what was said before. A section named after the
// transport overrides the rest for that transport.
export function readAdvice(advice = {}, transport = '') {
  const section = isObject(advice?.[transport]) ? advice[transport] : {};
  const named = { ...DEFAULTS, ...advice, ...section };
  return {
    reconnect: named.reconnect,
    interval: Number.isFinite(named.interval) ? named.interval : DEFAULTS.interval,
    timeout: named.timeout >= 0 ? Number(named.timeout) : DEFAULTS.timeout,
    multipleClients: named['multiple-clients'] === true,
  };
}

// Only the two values we know allow an automatic return, and a negative
// interval forbids it.
export function allowsReturn({ reconnect, interval }) {
  return interval >= 0 && (reconnect === 'retry' || reconnect === 'handshake');
}

// Full jitter, by a dice in [0, 1): anywhere between nothing and a ceiling that doubles with each
// failure, so that the clients of a broker that comes back do not return as one.
export function backoff(failures, { base, cap }, dice) {
  return failures > 0 ? dice * Math.min(cap, base * 2 ** (failures - 1)) : 0;
}

export function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
