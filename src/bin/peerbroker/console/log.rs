//! The log on stderr. Its filter can change while the program runs.

use std::env;
use std::io::Write as _;
use std::sync::OnceLock;

use arc_swap::ArcSwap;
use env_filter::Filter;
use log::{Level, LevelFilter, Log as _, Metadata, Record};
use parking_lot::Mutex;
use peerbroker::LogControl;
use peerbroker_core::vocabulary::printable;

use super::{Style, json};
use crate::cli::{LogFormat, parse_filter};

/// The default filter. actix-http is off, because it logs every malformed request of a scanner as an error,
/// and redis, because it repeats each failed connection to a cluster several times a second.
const DEFAULT: &str = "warn,peerbroker=info,actix_http=off,redis=off";
/// The default filter with `--quiet`. Changes by operators stay in the log.
const QUIET: &str = "warn,peerbroker::audit=info,actix_http=off,redis=off";

static LOG: OnceLock<Log> = OnceLock::new();

/// The log. Each line goes through the active filter, and then to env_logger, which writes it.
pub struct Log {
    writer: env_logger::Logger,
    filter: ArcSwap<Filter>,
    texts: Mutex<Texts>,
    /// The filter if none is configured.
    default: &'static str,
}

#[derive(Default)]
struct Texts {
    configured: String,
    temporary: Option<String>,
}

/// Starts the log. A second call would change nothing.
pub fn start(style: Style, filter: Option<&str>) -> &'static Log {
    let log = LOG.get_or_init(|| {
        let mut writer = env_logger::Builder::new();
        // The filter comes before.
        writer.filter_level(LevelFilter::Trace);
        if let Ok(when) = env::var("RUST_LOG_STYLE") {
            writer.parse_write_style(&when);
        }
        if style.format == LogFormat::Json {
            writer.format(|out, record| out.write_all(json::record(record).as_bytes()));
        }
        let default = if style.quiet { QUIET } else { DEFAULT };
        Log {
            writer: writer.build(),
            filter: ArcSwap::from_pointee(env_filter::Builder::new().build()),
            texts: Mutex::default(),
            default,
        }
    });
    // An error means that the log has started already.
    let _ = log::set_logger(log);
    log.configure(filter);
    log
}

impl Log {
    /// Replaces the filter of the configuration. A filter that the API has set stays active until it ends.
    pub fn configure(&self, filter: Option<&str>) {
        let mut texts = self.texts.lock();
        texts.configured = filter.unwrap_or(self.default).to_owned();
        self.apply(&texts);
    }

    /// Writes a warning that no filter hides.
    pub fn warn(&self, text: &str) {
        let args = format_args!("{text}");
        self.writer.log(&Record::builder().level(Level::Warn).target("peerbroker").args(args).build());
    }

    /// Activates the filter of these texts. Both were parsed before.
    fn apply(&self, texts: &Texts) {
        if let Ok(filter) = parse_filter(texts.temporary.as_ref().unwrap_or(&texts.configured)) {
            log::set_max_level(filter.filter());
            self.filter.store(filter.into());
        }
    }
}

impl LogControl for &'static Log {
    fn configured(&self) -> String {
        self.texts.lock().configured.clone()
    }

    fn set_temporary(&self, filter: Option<&str>) -> Result<(), String> {
        filter.map(parse_filter).transpose()?;
        let mut texts = self.texts.lock();
        texts.temporary = filter.map(str::to_owned);
        self.apply(&texts);
        Ok(())
    }
}

impl log::Log for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.load().enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.filter.load().matches(record) {
            // A line stays one, whoever wrote parts of it.
            let text = printable(&record.args().to_string());
            self.writer.log(&record.to_builder().args(format_args!("{text}")).build());
        }
    }

    fn flush(&self) {
        self.writer.flush();
    }
}
