// long-polling: every request is a POST of a JSON array of messages, and so is
// its answer. A held connect is just a POST that takes long.

// Well below the broker's limits (1 MiB and 1,000 messages a request).
const MAX_CHARS = 256 * 1024;

export class LongPolling {
  type = 'long-polling';
  #url;
  #options;

  constructor(url, { credentials = 'same-origin', headers = {} } = {}) {
    this.#url = url;
    this.#options = {
      method: 'POST',
      credentials,
      // Both, because fetch's own cache and those on the way listen to different things.
      cache: 'no-store',
      headers: {
        'Content-Type': 'application/json;charset=UTF-8',
        'Cache-Control': 'no-cache',
        ...headers,
      },
    };
  }

  // How many of these messages go into one request; one always does.
  fit(messages) {
    let chars = 0;
    const over = messages.findIndex((m) => (chars += JSON.stringify(m).length + 1) > MAX_CHARS);
    return over < 0 ? messages.length : Math.max(over, 1);
  }

  async send(messages, signal) {
    const response = await fetch(this.#url, {
      ...this.#options,
      body: JSON.stringify(messages),
      signal,
    });
    if (!response.ok) {
      await response.body?.cancel();
      throw Object.assign(new Error(`HTTP ${response.status}`), { status: response.status });
    }
    return response.json();
  }

  // For a page that is going away: the browser sends it though nobody waits.
  leave(messages) {
    fetch(this.#url, {
      ...this.#options,
      body: JSON.stringify(messages),
      keepalive: true,
    }).catch(() => {});
  }
}
