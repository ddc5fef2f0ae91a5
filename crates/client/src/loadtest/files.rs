//! The files of a report.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use report::Table;
use tempfile::NamedTempFile;
use workload::RequestKind;
use workload::load::LoadInterval;

use super::page;
use super::report::{LoadReport, Quantiles};

/// Writes the HTML, JSON and CSV files. [`LatencyLog`] writes the latencies.
pub(super) fn write(dir: &Path, report: &LoadReport) -> io::Result<()> {
    let csv = ("seconds.csv", seconds(report));
    pages(report).into_iter().chain([csv]).try_for_each(|(name, text)| report::save(&dir.join(name), text.as_bytes()))
}

/// Prints the JSON and HTML files, each between two marker lines with its name.
pub(super) fn print(out: &mut impl Write, report: &LoadReport) -> io::Result<()> {
    for (name, text) in pages(report) {
        writeln!(out, "-----BEGIN {name}-----\n{}\n-----END {name}-----", text.trim_end())?;
    }
    out.flush()
}

fn pages(report: &LoadReport) -> [(&'static str, String); 2] {
    [("report.json", report::json(report, &report.checks)), ("report.html", page::document(report).html())]
}

/// `seconds.csv`: a line for each second and kind of request.
fn seconds(report: &LoadReport) -> String {
    let kinds = |interval| RequestKind::OF_A_VISIT.map(|kind| (interval, kind));
    Table::of(report.intervals.iter().flat_map(kinds).map(|(interval, kind)| (interval, kind, interval.stats.of(kind))))
        .number("begin_s", |(it, ..)| rounded(it.begin))
        .number("seconds", |(it, ..)| rounded(it.stats.measured))
        .text("stage", |(it, ..)| report.plan.stages[it.stage].name.clone())
        .number("wanted_visits_per_s", |(it, ..)| it.wanted_per_s)
        .text("request", |(_, kind, _)| *kind)
        .number("done", |(.., it)| it.done.count())
        .number("sold_out", |(.., it)| it.sold_out)
        .number("refused", |(.., it)| it.refused.count())
        .number("other", |(.., it)| it.other)
        .number("timed_out", |(.., it)| it.timed_out)
        .number("connection_errors", |(.., it)| it.connection_errors)
        .numbers(["p50_us", "p90_us", "p99_us", "p999_us", "max_us"], |(.., it)| {
            Quantiles::of(it.waited.histogram()).values_us()
        })
        .csv()
}

/// In seconds, rounded to milliseconds.
fn rounded(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round() / 1e3
}

/// `latency.hlog`: the interval log of HdrHistogram (version 1.3 of the format, with histograms in
/// its compressed encoding V2). `HistogramLogProcessor`, `HistogramLogAnalyzer` and similar tools
/// read it. Values are in microseconds.
pub(super) struct LatencyLog {
    /// Its path, and the temporary file that replaces the log of an earlier test at the end.
    file: Option<(PathBuf, BufWriter<NamedTempFile>)>,
    /// The first error.
    error: Option<io::Error>,
}

impl LatencyLog {
    /// Creates the directory and the file, if there is a directory. `begun` is the start of the
    /// load as the time since 1970.
    pub(super) fn create(dir: Option<&Path>, begun: Duration) -> io::Result<Self> {
        let Some(dir) = dir else { return Ok(Self { file: None, error: None }) };
        let path = dir.join("latency.hlog");
        let mut file = BufWriter::new(report::create_temp(&path)?);
        write_header(&mut file, begun)?;
        Ok(Self { file: Some((path, file)), error: None })
    }

    /// Adds an interval for each kind of request. [`finish`](Self::finish) returns the first error.
    pub(super) fn record(&mut self, interval: &LoadInterval) {
        let Some((_, file)) = &mut self.file else { return };
        if let Err(error) = write_intervals(file, interval) {
            self.error.get_or_insert(error);
        }
    }

    pub(super) fn finish(self) -> io::Result<()> {
        match (self.error, self.file) {
            (Some(error), _) => Err(error),
            (None, Some((path, file))) => {
                let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                report::persist(file, &path)
            }
            (None, None) => Ok(()),
        }
    }
}

fn write_header(file: &mut impl Write, begun: Duration) -> io::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new();
    log.add_comment("[Latencies in microseconds, from when a request was due; Interval_Max in milliseconds]");
    log.with_start_time(UNIX_EPOCH + begun).with_base_time(UNIX_EPOCH + begun).with_max_value_divisor(DIVISOR);
    log.begin_log_with(file, &mut serializer).map(drop)?;
    writeln!(file, "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"")
}

/// Converts the values, in microseconds, to the `Interval_Max` column, in milliseconds.
const DIVISOR: f64 = 1000.0;

fn write_intervals(file: &mut impl Write, interval: &LoadInterval) -> io::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    // The header was already written at the start of the file.
    let mut lines = Vec::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder.with_max_value_divisor(DIVISOR);
    let mut log = builder.begin_log_with(&mut lines, &mut serializer)?;
    for kind in RequestKind::OF_A_VISIT {
        let latencies = &interval.stats.of(kind).waited;
        if latencies.count() > 0 {
            let written = log.write_histogram(
                latencies.histogram(),
                interval.begin,
                interval.stats.measured,
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
    use crate::loadtest::testing::stats;

    #[test]
    fn the_latency_log_can_be_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LatencyLog::create(Some(dir.path()), Duration::from_hours(500_000)).unwrap();
        let ms = Duration::from_millis;
        for n in 0..3 {
            let stats = stats(RequestKind::Query, &[(100, ms(1 + n)), (1, ms(250))], &[], 0, ms(1000));
            log.record(&LoadInterval { begin: ms(1000 * n), stage: 0, wanted_per_s: None, stats });
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

    /// The histograms are encoded in base 64.
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
