// weft's own Bayeux client. See weft.d.ts for what each part does.
export { Client } from './client.js';
export { Session } from './session.js';
export { BayeuxError } from './outbox.js';
export { LongPolling } from './transports/long_polling.js';
export { CallbackPolling } from './transports/callback_polling.js';
