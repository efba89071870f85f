// What the generator found, in the words of the report. Everything that knows its JSON stands here.

const known = (value) => (Number.isFinite(value) ? value : undefined);

/** One measurement at one rate. */
function point(result) {
  const { lost, repeated, reordered, errors = {} } = result;
  const wrong = [lost, repeated, reordered, ...Object.values(errors)];
  return {
    rate: known(result.rate_intended),
    deliveries: known(result.deliveries_per_second),
    cpu: known(result.server?.cpu_us_per_message),
    core: known(result.server?.core_share),
    waited: known(result.server?.wait_share),
    p50: known(result.latency_ms.p50),
    p99: known(result.latency_ms.p99),
    batch: known(result.messages_per_response),
    wire: known(result.wire_bytes_per_message),
    kept: result.kept_up,
    limited: result.generator.limited,
    wrong: wrong.reduce((sum, count) => sum + (known(count) ?? 0), 0),
  };
}

/** A sweep's best point that kept up, and all of them as `points`. */
function sweep({ steps }) {
  const points = steps.map(point);
  const best = points.findLastIndex(({ kept }) => kept);
  // At the next it was over: if the generator was at its limit there, it may have been the reason.
  const limited = [points[best], points[best + 1]].some((each) => each?.limited);
  // That nothing kept up is a result, too.
  const none = { rate: 0, deliveries: 0 };
  return { ...(points[best] ?? none), limited, points };
}

/** What a run says. */
export function figures(command, result) {
  switch (command) {
    case 'sweep':
      return sweep(result.sweep);
    case 'idle':
      return {
        memory: known(result.server?.per_session_bytes),
        arrival: known(result.server?.cpu_us_per_session),
        seconds: known(result.idle.set_up_seconds),
        pace: known(result.idle.set_up_per_second),
        idle: known(result.idle.idle_cpu_percent),
        broadcast: known(result.idle.broadcast_ms),
        wrong: point(result).wrong,
      };
    case 'publish': {
      const { core, waited, limited, wrong } = point(result);
      return {
        ...{ core, waited, limited, wrong },
        cpu: known(result.publish.cpu_us_per_publish),
        published: known(result.publish.accepted_per_second),
        p50: known(result.ack_ms.p50),
        p99: known(result.ack_ms.p99),
      };
    }
    default:
      return point(result);
  }
}

export function median(values) {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
