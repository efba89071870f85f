// Stands in for the list of what was received when that would be long: takes messages numbered from
// 0, and keeps only what tells whether any was lost, repeated or out of order.
export class Sequence {
  #seen = new Set();
  #last = -1;
  #next = 0; // one above the highest so far
  #repeats = 0;
  #returns = 0; // how often it went back to numbers it had seen
  #skips = []; // where a number followed that is not the next one: [before, after]
  #waiting;

  // A repeat begins anywhere below and must lead up, number by number, to where it was. So without
  // skips all came, first in order and then perhaps again.
  push([, number]) {
    if (number > this.#last + 1) this.#skips.push([this.#last, number]);
    if (number <= this.#last) this.#returns += 1;
    if (this.#seen.has(number)) this.#repeats += 1;
    this.#seen.add(number);
    this.#last = number;
    this.#next = Math.max(this.#next, number + 1);
    if (this.#next >= this.#waiting?.count) this.#waiting.done();
  }

  // Resolves once the numbers below `count` should all have come, or when time is up.
  reaches(count, ms) {
    if (this.#next >= count) return this.toJSON();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#waiting = undefined;
        resolve(this.toJSON());
      };
      const timer = setTimeout(done, ms);
      this.#waiting = { count, done };
    });
  }

  toJSON() {
    return {
      next: this.#next,
      distinct: this.#seen.size,
      last: this.#last,
      repeats: this.#repeats,
      returns: this.#returns,
      skips: this.#skips.slice(0, 10),
    };
  }
}
