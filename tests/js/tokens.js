// Tokens for a broker that takes those of one secret.
import { createHmac } from 'node:crypto';

const SECRET = 'a secret of more than thirty-two bytes';

// Where the tokens come from, and that their bearers may do everything below `channels`.
export const takingTokens = (channels) => `
[auth]
mode = "token"
leeway = "0s"
cookie = "token"

[[auth.tokens]]
name = "test"
algorithms = ["HS256"]
secret = "${SECRET}"

[[auth.rules]]
channels = "${channels}"
`;

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

// A token that ends in so many seconds; with another secret, nobody takes it.
export function tokenFor(seconds, { secret = SECRET, sub = 'ann' } = {}) {
  const exp = Math.floor(Date.now() / 1000) + seconds;
  const text = `${encoded({ alg: 'HS256', typ: 'JWT' })}.${encoded({ sub, exp })}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}
