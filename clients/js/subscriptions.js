// Who in this page listens to what. The server knows a channel or pattern once
// per session, however many listeners share it here.
export class Subscriptions {
  #listeners = new Map();

  get names() {
    return [...this.#listeners.keys()];
  }

  has(name) {
    return this.#listeners.has(name);
  }

  add(name, entry) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(entry);
  }

  // True when the last listener of this name is gone.
  remove(name, entry) {
    const entries = this.#listeners.get(name);
    if (!entries?.delete(entry) || entries.size > 0) return false;
    return this.#listeners.delete(name);
  }

  clear() {
    this.#listeners.clear();
  }

  deliver(message, failed) {
    for (const name of namesMatching(message.channel)) {
      for (const entry of [...(this.#listeners.get(name) ?? [])]) {
        try {
          entry.listener(message);
        } catch (error) {
          failed(error); // one bad listener must not stop the others, nor the poll
        }
      }
    }
  }
}

// The names that match a channel: itself, its parent with `*`, and every
// ancestor with `**`.
export function namesMatching(channel) {
  const names = [channel];
  let end = channel.lastIndexOf('/');
  if (end < 0) return names;
  names.push(`${channel.slice(0, end)}/*`);
  for (; end >= 0; end = channel.lastIndexOf('/', end - 1)) {
    names.push(`${channel.slice(0, end)}/**`);
    if (end === 0) break; // lastIndexOf('/', -1) would look at 0 again
  }
  return names;
}
