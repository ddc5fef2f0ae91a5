//! wrk: asks one URL as fast as it is answered, over kept-alive connections.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use crate::process::ended_children_cpu;
use crate::rounds::Measured;

/// How wrk asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    /// Threads of wrk.
    pub(crate) threads: u32,
    /// Kept-alive connections of all of them together, at least one per thread.
    pub(crate) connections: u32,
}

impl Asker {
    /// Asks `url`, first for `warm_up`, then for `measured`, which counts; both whole seconds, wrk knows no others.
    ///
    /// # Errors
    /// If wrk is not there, or one answer was no 200, or came too late, or a connection broke.
    pub(crate) async fn measure(self, url: &str, warm_up: Duration, measured: Duration) -> Result<Measured> {
        self.ask(url, warm_up).await?;
        self.ask(url, measured).await
    }

    async fn ask(self, url: &str, length: Duration) -> Result<Measured> {
        let seconds = length.as_secs().max(1);
        let before = ended_children_cpu()?;
        let mut command = Command::new("wrk");
        command.args(["--threads", &self.threads.to_string(), "--connections", &self.connections.to_string()]);
        command.args(["--duration", &format!("{seconds}s"), "--latency", url]);
        let output = command.stdin(Stdio::null()).process_group(0).kill_on_drop(true).output().await;
        let output = output.context("wrk cannot be started: is it installed?")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "wrk failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        let used = ended_children_cpu()?.saturating_sub(before);
        #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
        let asker_cores = used.as_secs_f64() / seconds as f64;
        let found = parse(&text).with_context(|| format!("wrk said of {url}:\n{text}"))?;
        Ok(Measured { asker_cores, ..found })
    }
}

/// What wrk 4 prints with `--latency`; anything that is not as expected is an error, and so is any failed request.
fn parse(text: &str) -> Result<Measured> {
    for trouble in ["Socket errors:", "Non-2xx"] {
        if let Some(line) = text.lines().find(|line| line.trim_start().starts_with(trouble)) {
            bail!("not every request was answered with success: {}", line.trim());
        }
    }
    let value = |name: &str| {
        let mut found = text.lines().filter_map(|line| line.trim_start().strip_prefix(name));
        let value = found.next().with_context(|| format!("there is no line {name:?}"))?;
        ensure!(found.next().is_none(), "there are two lines {name:?}");
        Ok(value.trim().to_owned())
    };
    let per_s = value("Requests/sec:")?.parse().context("the rate is no number")?;
    let (p50_us, p99_us) = (microseconds(&value("50%")?)?, microseconds(&value("99%")?)?);
    Ok(Measured { per_s, p50_us, p99_us, asker_cores: 0.0 })
}

/// `401.00us`, `1.25ms`, `2.01s`.
fn microseconds(text: &str) -> Result<f64> {
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6)];
    let read = |(unit, factor): (&str, f64)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor);
    units.into_iter().find_map(read).with_context(|| format!("{text:?} is no latency"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
Running 4s test @ http://127.0.0.1:1110/products/Tux
  2 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   702.32us    1.01ms  25.58ms   95.06%
    Req/Sec    55.17k     3.02k   61.10k    70.00%
  Latency Distribution
     50%  501.00us
     75%  811.00us
     90%    1.20ms
     99%    4.75ms
  439203 requests in 4.01s, 88.38MB read
Requests/sec: 109625.43
Transfer/sec:     22.06MB
";

    #[test]
    fn rate_and_latencies_are_read() {
        let known = Measured { per_s: 109_625.43, p50_us: 501.0, p99_us: 4750.0, asker_cores: 0.0 };
        assert_eq!(parse(GOOD).unwrap(), known);
    }

    #[test]
    fn one_bad_answer_is_too_many() {
        for trouble in ["  Non-2xx or 3xx responses: 1\n", "  Socket errors: connect 0, read 1, write 0, timeout 0\n"] {
            let error = parse(&format!("{GOOD}{trouble}")).unwrap_err().to_string();
            assert!(error.contains(trouble.trim()), "{error}");
        }
    }

    #[test]
    fn anything_else_is_an_error() {
        assert!(parse("").is_err());
        assert!(parse(&GOOD.replace("99%    4.75ms", "99%    4.75h")).is_err());
        assert!(parse(&GOOD.replace("109625.43", "many")).is_err());
        assert!(parse(&format!("{GOOD}Requests/sec: 1.0\n")).is_err());
    }
}
