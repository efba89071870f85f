/** A message as it came from the server. */
export interface Message<T = unknown> {
  channel: string;
  data: T;
  ext?: Record<string, unknown>;
}

/**
 * `unconnected` both before the start and while the network is away (the client
 * then tries again by itself), `connecting` from the handshake to the first
 * answered connect.
 */
export type State = 'unconnected' | 'connecting' | 'connected';

export interface StateInfo {
  /** Another tab of this browser holds the long poll; this one asks now and then. */
  multipleClients: boolean;
  /** Why the state was left, as the server or the browser put it. */
  reason?: string;
}

export interface Subscription {
  readonly channel: string;
  /** Resolves when the server has taken it back; no message comes after the call. */
  cancel(): Promise<void>;
}

/** Carries requests. `send` resolves to the answer's messages, or rejects. */
export interface Transport {
  readonly type: string;
  /** How many of these messages go into one request, from the first on; 0 if none ever will. */
  fit(messages: object[]): number;
  send(messages: object[], signal: AbortSignal): Promise<object[]>;
  /** Sends without waiting for an answer, from a page that is going away. */
  leave?(messages: object[]): void;
}

export interface SessionOptions {
  /** Milliseconds a request may take beyond the time the server holds it. Default 10,000. */
  networkDelay?: number;
  /** Ceiling of the first back-off, in milliseconds. It doubles with each failure. Default 1,000. */
  base?: number;
  /** Ceiling of every back-off. Default 30,000. */
  cap?: number;
  /** Messages in one request. Default 100. */
  maxBatch?: number;
  /** Messages that wait for a connection. Default 10,000. */
  maxQueue?: number;
}

export interface LongPollingOptions {
  /** As in `fetch`: `include` sends cookies to another origin too. Default `same-origin`. */
  credentials?: RequestCredentials;
  headers?: Record<string, string>;
}

export interface ClientOptions extends SessionOptions, LongPollingOptions {
  /** Default `long-polling`. */
  transport?: 'long-polling' | 'callback-polling' | Transport;
}

/** Connects by itself at the first subscribe or publish, and again whenever it must. */
export class Client {
  constructor(url: string | URL, options?: ClientOptions);
  readonly state: State;
  readonly multipleClients: boolean;
  on(name: 'state', listener: (state: State, info: StateInfo) => void): () => void;
  on(name: 'error', listener: (error: Error) => void): () => void;
  connect(): void;
  /**
   * `channel` may end in `/*` (one segment) or `/**` (one or more). Resolves
   * when the server has agreed; after that the client subscribes again by
   * itself in every new session.
   */
  subscribe<T = unknown>(
    channel: string,
    listener: (message: Message<T>) => void,
  ): Promise<Subscription>;
  /**
   * Resolves when the server has accepted the message. A rejection without a
   * `reply` means that nobody knows whether it has.
   */
  publish(channel: string, data: unknown, ext?: Record<string, unknown>): Promise<void>;
  disconnect(): Promise<void>;
}

/** A refusal: by the server (then with its reply), or because the session ended. */
export class BayeuxError extends Error {
  readonly reply?: Record<string, unknown>;
}

export class LongPolling implements Transport {
  constructor(url: string | URL, options?: LongPollingOptions);
  readonly type: 'long-polling';
  fit(messages: object[]): number;
  send(messages: object[], signal: AbortSignal): Promise<object[]>;
  leave(messages: object[]): void;
}

export class CallbackPolling implements Transport {
  constructor(url: string | URL);
  readonly type: 'callback-polling';
  fit(messages: object[]): number;
  send(messages: object[], signal: AbortSignal): Promise<object[]>;
  leave(messages: object[]): void;
}

/** What a session asks of the world; for tests and for other runtimes. */
export interface SessionIo {
  type: string;
  fit(messages: object[]): number;
  /** Calls `done` later, once; never after the returned function was called. */
  send(
    messages: object[],
    ms: number,
    done: (error: Error | null, replies?: object[]) => void,
  ): () => void;
  after(ms: number, run: () => void): () => void;
  random(): number;
  emit(name: 'state' | 'error', ...args: unknown[]): void;
}

/** The state machine without I/O. */
export class Session {
  constructor(io: SessionIo, options?: SessionOptions);
  readonly state: State;
  readonly multipleClients: boolean;
  start(): void;
  subscribe(channel: string, listener: (message: Message) => void): Promise<Subscription>;
  publish(channel: string, data: unknown, ext?: Record<string, unknown>): Promise<void>;
  disconnect(): Promise<void>;
  leave(): object[];
  resume(): void;
}
