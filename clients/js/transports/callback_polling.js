// callback-polling (JSONP): messages travel in the address of a script, and the
// script that comes back calls a function of ours. For the rare page that may
// load scripts of another origin but may not POST to it.

// What every browser, proxy and server takes as an address.
const MAX_URL = 2000;

let count = 0;

export class CallbackPolling {
  type = 'callback-polling';
  #url;

  constructor(url) {
    this.#url = new URL(url, document.baseURI).href;
  }

  // How many of these messages go into one address; none if the first is too long.
  fit(messages) {
    let n = messages.length;
    while (n > 0 && this.#address(messages.slice(0, n), nameOf(count + 1)).length > MAX_URL) n -= 1;
    return n;
  }

  send(messages, signal) {
    const name = nameOf((count += 1));
    const script = document.createElement('script');
    return new Promise((resolve, reject) => {
      globalThis[name] = resolve;
      script.onerror = () => reject(new Error('the script could not be loaded'));
      // A script that loaded has called us by now, or never will.
      script.onload = () => reject(new Error('the script did not call back'));
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
      script.async = true;
      script.src = this.#address(messages, name);
      document.head.append(script);
    }).finally(() => {
      script.remove();
      // The request of a removed script goes on: its answer must find a function.
      if (signal?.aborted) globalThis[name] = () => delete globalThis[name];
      else delete globalThis[name];
    });
  }

  leave(messages) {
    navigator.sendBeacon?.(this.#url, JSON.stringify(messages));
  }

  // The last parameter changes with every request, also across reloads, so
  // that no cache can answer.
  #address(messages, name) {
    const json = encodeURIComponent(JSON.stringify(messages));
    const start = this.#url.includes('?') ? '&' : '?';
    return `${this.#url}${start}jsonp=${name}&message=${json}&_=${Date.now().toString(36)}`;
  }
}

function nameOf(number) {
  return `_weft_${number}`;
}
