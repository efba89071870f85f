// What the drivers share: how they keep what was received.
import { Sequence } from './sequence.js';

export class Driver {
  received = []; // [channel, data], in the order of arrival

  // From now on only the sequence of numbers is looked at: for tests of many messages.
  count() {
    this.received = new Sequence();
  }

  reaches(count, ms) {
    return this.received.reaches(count, ms);
  }
}
