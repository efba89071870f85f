//! The report for people.

use std::fmt::Write;

use crate::report::{Figures, Percentiles, Report, Sweep};
use crate::tally::Times;

/// How long the longest bar of the histogram is.
const BAR: f64 = 50.0;

/// The whole report as lines.
pub(crate) fn of(report: &Report) -> String {
    let mut text = String::new();
    let Report { command, figures, options, subscribers, seed, .. } = report;
    let option = |name: &str| options[name].as_str().unwrap_or_default().to_owned();
    let (url, protocol) = (option("url"), option("protocol"));
    line(&mut text, "work", &format!("{command} by {protocol}, {url}, seed {seed}"));
    line(&mut text, "subscribers", &thousands(*subscribers as f64));
    if let Some(sweep) = &report.sweep {
        steps(&mut text, sweep);
    }
    if let Some(idle) = &report.idle {
        let rate = thousands(idle.set_up_per_second);
        let share = idle.set_up_generator_share;
        let took = format!("{:.2} s, {rate}/s", idle.set_up_seconds);
        line(&mut text, "set up in", &format!("{took} (generator {share:.2} of a core)"));
        if let Some(percent) = idle.idle_cpu_percent {
            let held = format!("{percent:.2} % of a core, over {} s", idle.hold_seconds);
            line(&mut text, "idle", &held);
        }
        line(&mut text, "one message to all", &format!("{:.1} ms", idle.broadcast_ms));
    }
    if let Some(publish) = &report.publish {
        let rate = thousands(publish.accepted_per_second);
        let each = publish.cpu_us_per_publish.map(|us| format!(", {us:.1} us of server CPU each"));
        line(&mut text, "accepted", &format!("{rate}/s{}", each.unwrap_or_default()));
    }
    if report.idle.is_none() && figures.rate_intended > 0.0 {
        let (intended, achieved) = (figures.rate_intended, figures.rate_achieved);
        line(&mut text, "rate", &format!("{intended:.1} messages/s, achieved {achieved:.1}"));
    }
    common(&mut text, figures);
    if figures.received > 0 {
        text.push('\n');
        text.push_str(&histogram(&figures.latency));
    }
    warnings(&mut text, figures);
    text
}

fn common(text: &mut String, figures: &Figures) {
    let Figures { published, expected, received, .. } = figures;
    let [published, expected, received] =
        [published, expected, received].map(|count| thousands(*count as f64));
    line(text, "messages", &format!("{published} published, {received} received of {expected}"));
    let Figures { lost, repeated, reordered, foreign, .. } = figures;
    let account = format!("{lost} lost, {repeated} repeated, {reordered} reordered");
    let stray = if *foreign > 0 { format!(", {foreign} stray") } else { String::new() };
    line(text, "account", &(account + &stray));
    if figures.received > 0 {
        line(text, "deliveries", &format!("{}/s", thousands(figures.deliveries_per_second)));
        line(text, "latency", &percentiles(&figures.latency_ms));
        let per = format!(
            "{:.1} messages a response, {:.0} bytes a message",
            figures.messages_per_response, figures.wire_bytes_per_message
        );
        line(text, "wire", &per);
    }
    if figures.ack_ms.max > 0.0 {
        line(text, "answers to publishers", &percentiles(&figures.ack_ms));
    }
    if let Some(server) = &figures.server {
        let share = format!("{:.2} of a core, {:.2} s", server.core_share, server.cpu_seconds);
        let share = share + &waited(server.wait_share);
        let each = format!("{:.2} us a message", server.cpu_us_per_message);
        let each = if figures.received > 0 { format!(", {each}") } else { String::new() };
        line(text, "server CPU", &(share + &each));
        let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
        let (before, after) = (mib(server.rss_before), mib(server.rss_after));
        let peak = mib(server.rss_peak);
        let memory = format!("{before:.1} MiB before, {after:.1} after, {peak:.1} at most");
        line(text, "server memory", &memory);
        let session = format!(
            "{} bytes, {:.0} us of CPU to set up",
            thousands(server.per_session_bytes),
            server.cpu_us_per_session
        );
        line(text, "each session", &session);
    }
    let generator = &figures.generator;
    let own = format!(
        "{:.2} of a core, {:.2} us a message, at most {:.1} ms late{}",
        generator.core_share,
        generator.cpu_us_per_message,
        generator.lateness_ms.max,
        waited(generator.wait_share)
    );
    line(text, "generator", &own);
    line(text, "kept up", if figures.kept_up { "yes" } else { "NO" });
}

/// Says that others had the processor, if that was so for long.
fn waited(share: f64) -> String {
    if share < 0.05 { String::new() } else { format!(" (waited for one {share:.2} of the time)") }
}

fn warnings(text: &mut String, figures: &Figures) {
    if figures.generator.limited {
        let _ = writeln!(
            text,
            "\nWARNING: the generator had {:.2} of its core: these figures may be its limit, and not \
             the server's.",
            figures.generator.core_share
        );
    }
    if figures.held_back {
        let _ = writeln!(
            text,
            "\nWARNING: messages waited until a publisher had its last answer (p99 {:.1} ms): --publishers \
             gives more of them.",
            figures.held_back_ms.p99
        );
    }
    for (kind, count) in &figures.errors {
        let _ = writeln!(text, "\nERRORS: {kind}: {count}");
    }
}

fn steps(text: &mut String, sweep: &Sweep) {
    let _ = writeln!(
        text,
        "\n{:>10} {:>12} {:>10} {:>8} {:>9} {:>9} {:>9} {:>8}  kept up",
        "rate", "deliveries/s", "us/message", "msgs/rsp", "p50 ms", "p99 ms", "server", "generator"
    );
    for step in &sweep.steps {
        let server = step.server.as_ref();
        let of = |value: Option<f64>| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
        };
        let _ = writeln!(
            text,
            "{:>10.1} {:>12} {:>10} {:>8.1} {:>9.1} {:>9.1} {:>9} {:>8.2}   {}",
            step.rate_intended,
            thousands(step.deliveries_per_second),
            of(server.map(|server| server.cpu_us_per_message)),
            step.messages_per_response,
            step.latency_ms.p50,
            step.latency_ms.p99,
            of(server.map(|server| server.core_share)),
            step.generator.core_share,
            match (step.kept_up, step.generator.limited) {
                (true, false) if step.held_back => "yes (publishers at their limit)",
                (false, false) if step.held_back => "NO (publishers at their limit)",
                (true, false) => "yes",
                (true, true) => "yes (generator at its limit)",
                (false, false) => "NO",
                (false, true) => "NO (generator at its limit)",
            },
        );
    }
    text.push('\n');
    let peak = thousands(sweep.peak_deliveries_per_second);
    let cpu = sweep.peak_cpu_us_per_message.map(|us| format!(" at {us:.2} us a message"));
    line(text, "peak", &format!("{peak} deliveries/s{}", cpu.unwrap_or_default()));
    let highest = sweep.highest_rate;
    line(text, "highest rate kept up", &format!("{highest:.1} messages/s; of that step:"));
}

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name:<22} {value}");
}

fn percentiles(of: &Percentiles) -> String {
    let Percentiles { p50, p90, p99, p999, max } = of;
    format!("p50 {p50:.2} ms, p90 {p90:.2}, p99 {p99:.2}, p99.9 {p999:.2}, max {max:.2}")
}

/// A whole number with commas.
fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 { format!("-{text}") } else { text }
}

/// Bars for times between powers of two.
fn histogram(times: &Times) -> String {
    let total = times.len();
    let (mut start, mut buckets) = (0_u64, Vec::new());
    let mut end = 64;
    while start <= times.max() {
        buckets.push((start, end, times.count_between(start, end - 1)));
        (start, end) = (end, end * 2);
    }
    let first = buckets.iter().position(|(.., count)| *count > 0).unwrap_or_default();
    let most = buckets.iter().map(|(.., count)| *count).max().unwrap_or_default();
    let mut text = String::new();
    for (start, end, count) in &buckets[first..] {
        let bar = (*count as f64 / most.max(1) as f64 * BAR).ceil() as usize;
        let percent = *count as f64 / total.max(1) as f64 * 100.0;
        let (from, to) = (*start as f64 / 1e3, *end as f64 / 1e3);
        let bar = "#".repeat(bar);
        let row = format!("{from:>9.2} - {to:>8.2} ms {percent:>6.2} %  {bar}");
        let _ = writeln!(text, "{}", row.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::no_times;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(thousands(0.0), "0");
        assert_eq!(thousands(999.6), "1,000");
        assert_eq!(thousands(1_234_567.0), "1,234,567");
        assert_eq!(thousands(-1_234.0), "-1,234");
    }

    #[test]
    fn a_histogram_begins_where_there_is_something() {
        let mut times = no_times();
        for (micros, count) in [(70, 1), (300, 50), (1_000, 25)] {
            times.record_n(micros, count).unwrap();
        }
        let text = histogram(&times);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "     0.06 -     0.13 ms   1.32 %  #");
        assert_eq!(lines[1], "     0.13 -     0.26 ms   0.00 %");
        assert!(lines[2].ends_with(&format!(" 65.79 %  {}", "#".repeat(50))), "{text}");
        assert_eq!(lines.len(), 4);
    }
}
