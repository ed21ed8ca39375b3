//! The room of the differences between systems in the program: signals, limits, the service manager and the
//! system's log.
//!
//! Both files have the same functions.

#[cfg(unix)]
mod systemd;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use systemd::{follow, report};
#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;

/// Returns freed memory to the system after some seconds: a flood can reuse its memory, and the memory of an
/// attack does not stay. glibc's allocator does only one of the two. Other systems have their own.
///
/// It is built for the page size of the machine that builds it: set `JEMALLOC_SYS_WITH_LG_PAGE` for machines
/// with larger pages. With musl it has no thread for this, and returns memory while something is allocated.
/// `.cargo/config.toml` has its settings.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
