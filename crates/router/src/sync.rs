//! The locks, atomics and maps of the router. `tests/schedules/` compiles the router with others, which try
//! every order of threads.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
pub(crate) use std::sync::{Mutex, MutexGuard};

pub(crate) use dashmap::DashMap;
