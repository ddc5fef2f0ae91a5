//! wrk: requests one URL as fast as it is answered, over keep-alive connections.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use crate::process::ended_children_cpu;
use crate::rounds::Measurement;

/// The configuration of wrk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadGenerator {
    /// The number of threads.
    pub(crate) threads: u32,
    /// The keep-alive connections of all threads together, at least one per thread.
    pub(crate) connections: u32,
}

impl LoadGenerator {
    /// Requests `url`, first for `warm_up`, then for `measured`, which counts. Both are whole
    /// seconds, because wrk supports nothing else.
    ///
    /// # Errors
    /// If wrk is not installed, a response is not 200 or arrives too late, or a connection is lost.
    pub(crate) async fn measure(self, url: &str, warm_up: Duration, measured: Duration) -> Result<Measurement> {
        self.run(url, warm_up).await?;
        self.run(url, measured).await
    }

    async fn run(self, url: &str, length: Duration) -> Result<Measurement> {
        let seconds = length.as_secs().max(1);
        let before = ended_children_cpu()?;
        let mut command = Command::new("wrk");
        command.args(["--threads", &self.threads.to_string(), "--connections", &self.connections.to_string()]);
        command.args(["--duration", &format!("{seconds}s"), "--latency", url]);
        let output = command.stdin(Stdio::null()).process_group(0).kill_on_drop(true).output().await;
        let output = output.context("cannot start wrk: is it installed?")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "wrk failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        let used = ended_children_cpu()?.saturating_sub(before);
        #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
        let generator_cores = used.as_secs_f64() / seconds as f64;
        let found = parse(&text).with_context(|| format!("unexpected output of wrk for {url}:\n{text}"))?;
        Ok(Measurement { generator_cores, ..found })
    }
}

/// Parses the output of wrk 4 with `--latency`. Unexpected output is an error, and so is a failed
/// request.
fn parse(text: &str) -> Result<Measurement> {
    for trouble in ["Socket errors:", "Non-2xx"] {
        if let Some(line) = text.lines().find(|line| line.trim_start().starts_with(trouble)) {
            bail!("not every request succeeded: {}", line.trim());
        }
    }
    let value = |name: &str| {
        let mut found = text.lines().filter_map(|line| line.trim_start().strip_prefix(name));
        let value = found.next().with_context(|| format!("no line begins with {name:?}"))?;
        ensure!(found.next().is_none(), "two lines begin with {name:?}");
        Ok(value.trim().to_owned())
    };
    let per_s = value("Requests/sec:")?.parse().context("the rate is not a number")?;
    let (p50_us, p99_us) = (microseconds(&value("50%")?)?, microseconds(&value("99%")?)?);
    Ok(Measurement { per_s, p50_us, p99_us, generator_cores: 0.0 })
}

/// `401.00us`, `1.25ms`, `2.01s`.
fn microseconds(text: &str) -> Result<f64> {
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6)];
    let read = |(unit, factor): (&str, f64)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor);
    units.into_iter().find_map(read).with_context(|| format!("{text:?} is not a latency"))
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
    fn rate_and_latencies_are_parsed() {
        let known = Measurement { per_s: 109_625.43, p50_us: 501.0, p99_us: 4750.0, generator_cores: 0.0 };
        assert_eq!(parse(GOOD).unwrap(), known);
    }

    #[test]
    fn a_failed_request_is_an_error() {
        for trouble in ["  Non-2xx or 3xx responses: 1\n", "  Socket errors: connect 0, read 1, write 0, timeout 0\n"] {
            let error = parse(&format!("{GOOD}{trouble}")).unwrap_err().to_string();
            assert!(error.contains(trouble.trim()), "{error}");
        }
    }

    #[test]
    fn unexpected_output_is_an_error() {
        assert!(parse("").is_err());
        assert!(parse(&GOOD.replace("99%    4.75ms", "99%    4.75h")).is_err());
        assert!(parse(&GOOD.replace("109625.43", "many")).is_err());
        assert!(parse(&format!("{GOOD}Requests/sec: 1.0\n")).is_err());
    }
}
