//! The reports as files.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use serde::Serialize;

use super::report::Quantiles;
use super::{Report, page};
use crate::load::{Kind, KindOutcome, Plan, Second};

/// Writes HTML, JSON and CSV. The log of latencies is [`LatencyLog`]'s.
pub(super) fn write(dir: &Path, report: &Report, plan: &Plan, seconds: &[Second]) -> io::Result<()> {
    std::fs::write(dir.join("report.json"), serde_json::to_vec_pretty(report)?)?;
    std::fs::write(dir.join("report.html"), page::document(report, plan, seconds).html())?;
    write_seconds(File::create(dir.join("seconds.csv"))?, plan, seconds).map_err(io::Error::other)
}

/// A line of `seconds.csv`.
#[derive(Serialize)]
struct Line<'a> {
    /// From the begin of the load to that of this second.
    begin_s: f64,
    seconds: f64,
    stage: &'a str,
    wanted_visits_per_s: Option<f64>,
    request: Kind,
    done: u64,
    sold_out: u64,
    refused: u64,
    other: u64,
    silent: u64,
    broken: u64,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    p999_us: u64,
    max_us: u64,
}

fn write_seconds(file: impl Write, plan: &Plan, seconds: &[Second]) -> csv::Result<()> {
    let mut lines = csv::Writer::from_writer(file);
    for Second { begin, stage, wanted_per_s, outcome } in seconds {
        for request in Kind::ALL {
            let KindOutcome { done, sold_out, refused, other, silent, broken, waited, .. } = outcome.of(request);
            let Quantiles { p50_us, p90_us, p99_us, p999_us, max_us, .. } = Quantiles::of(waited.histogram());
            lines.serialize(Line {
                begin_s: rounded(*begin),
                seconds: rounded(outcome.measured),
                stage: &plan.stages[*stage].name,
                wanted_visits_per_s: *wanted_per_s,
                request,
                done: done.count(),
                sold_out: *sold_out,
                refused: refused.count(),
                other: *other,
                silent: *silent,
                broken: *broken,
                p50_us,
                p90_us,
                p99_us,
                p999_us,
                max_us,
            })?;
        }
    }
    Ok(lines.flush()?)
}

/// To milliseconds.
fn rounded(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round() / 1e3
}

/// `latency.hlog`: HdrHistogram's interval log (version 1.3 of the format, histograms in its compressed encoding V2), which
/// `HistogramLogProcessor`, `HistogramLogAnalyzer` and the like read. Values are microseconds.
pub(super) struct LatencyLog {
    file: Option<BufWriter<File>>,
    /// What went wrong first.
    error: Option<io::Error>,
}

impl LatencyLog {
    /// Makes the directory and the file, if there is to be one. The load begins so long after 1970.
    pub(super) fn create(dir: Option<&Path>, begun: Duration) -> io::Result<Self> {
        let Some(dir) = dir else { return Ok(Self { file: None, error: None }) };
        std::fs::create_dir_all(dir)?;
        let mut file = BufWriter::new(File::create(dir.join("latency.hlog"))?);
        head(&mut file, begun)?;
        Ok(Self { file: Some(file), error: None })
    }

    /// Adds an interval per kind of request. What goes wrong is told by [`finish`](Self::finish).
    pub(super) fn second(&mut self, second: &Second) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = intervals(file, second) {
            self.error.get_or_insert(error);
        }
    }

    pub(super) fn finish(self) -> io::Result<()> {
        match (self.error, self.file) {
            (Some(error), _) => Err(error),
            (None, Some(mut file)) => file.flush(),
            (None, None) => Ok(()),
        }
    }
}

fn head(file: &mut impl Write, begun: Duration) -> io::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new();
    log.add_comment("[Latencies in microseconds, from when a request was due; Interval_Max in milliseconds]");
    log.with_start_time(UNIX_EPOCH + begun).with_base_time(UNIX_EPOCH + begun).with_max_value_divisor(DIVISOR);
    log.begin_log_with(file, &mut serializer).map(drop)?;
    writeln!(file, "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"")
}

/// From the values, which are microseconds, to the column for people, which is in milliseconds.
const DIVISOR: f64 = 1000.0;

fn intervals(file: &mut impl Write, second: &Second) -> io::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    // The header stands at the file's begin already.
    let mut lines = Vec::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder.with_max_value_divisor(DIVISOR);
    let mut log = builder.begin_log_with(&mut lines, &mut serializer)?;
    for kind in Kind::ALL {
        let latencies = &second.outcome.of(kind).waited;
        if latencies.count() > 0 {
            let written = log.write_histogram(
                latencies.histogram(),
                second.begin,
                second.outcome.measured,
                Tag::new(kind.as_str()),
            );
            written.map_err(|error| io::Error::other(format!("{error:?}")))?;
        }
    }
    for line in lines.split_inclusive(|byte| *byte == b'\n').filter(|line| line.starts_with(b"Tag=")) {
        file.write_all(line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::load::testing::outcome;

    #[test]
    fn the_log_is_read_back_as_it_was_measured() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LatencyLog::create(Some(dir.path()), Duration::from_hours(500_000)).unwrap();
        let ms = Duration::from_millis;
        for n in 0..3 {
            let outcome = outcome(Kind::Query, &[(100, ms(1 + n)), (1, ms(250))], &[], 0, ms(1000));
            log.second(&Second { begin: ms(1000 * n), stage: 0, wanted_per_s: None, outcome });
        }
        log.finish().unwrap();
        let bytes = std::fs::read(dir.path().join("latency.hlog")).unwrap();
        let mut intervals = 0;
        for entry in IntervalLogIterator::new(&bytes) {
            let LogEntry::Interval(interval) = entry.unwrap() else { continue };
            let encoded = hdrhistogram_bytes(interval.encoded_histogram());
            let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut encoded.as_slice()).unwrap();
            assert_eq!(
                (histogram.len(), interval.tag().map(|tag| tag.as_str().to_owned())),
                (101, Some("query".into()))
            );
            assert!(histogram.max() >= 250_000 && histogram.max() < 251_000);
            assert_eq!(interval.start_timestamp(), ms(1000 * intervals));
            intervals += 1;
        }
        assert_eq!(intervals, 3, "{}", String::from_utf8_lossy(&bytes));
    }

    /// The log's histograms are in base 64.
    fn hdrhistogram_bytes(text: &str) -> Vec<u8> {
        let digit = |byte| match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => panic!("{byte} is not in base 64"),
        };
        let bits = text
            .bytes()
            .filter(|byte| *byte != b'=')
            .flat_map(|byte| (0..6).rev().map(move |bit| digit(byte) >> bit & 1));
        let bits: Vec<u8> = bits.collect();
        bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)).collect()
    }
}
