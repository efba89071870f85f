// What the generator found, in the words of the report. Everything that knows its JSON stands here.

const known = (value) => (Number.isFinite(value) ? value : undefined);

/** One measurement at one rate. */
function point(result) {
  return {
    rate: known(result.rate_intended),
    deliveries: known(result.deliveries_per_second),
    cpu: known(result.server?.cpu_us_per_message),
    core: known(result.server?.core_share),
    p50: known(result.latency_ms?.p50),
    p99: known(result.latency_ms?.p99),
    batch: known(result.messages_per_response),
    wire: known(result.wire_bytes_per_message),
    kept: result.kept_up === true,
    limited: result.generator?.limited === true,
    wrong: ['lost', 'repeated', 'reordered', 'errors'].reduce((sum, name) => sum + count(result[name]), 0),
  };
}

const count = (value) => (Array.isArray(value) ? value.length : (known(value) ?? 0));

/** What a run says: of a sweep its best point, and all of them as `points`. */
export function figures(command, result) {
  if (command === 'sweep') {
    const points = result.points.map(point);
    const best = points.filter(({ kept }) => kept).sort((a, b) => b.deliveries - a.deliveries)[0];
    return { ...best, points };
  }
  if (command === 'idle') {
    return { memory: known(result.server?.per_session_bytes), arrival: known(result.server?.cpu_us_per_message) };
  }
  return point(result);
}

export function median(values) {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
