//! Limits of pipes.

/// Limits of pipes. Those of a key, of an address and of one pipe are parts
/// of the total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PipeLimits {
    /// Maximum pipes of all keys; 0 if the server has none.
    pub total: usize,
    /// Bytes per second of all pipes, both directions together; bursts of ten times that. 0 means no limit,
    /// for each pipe too.
    pub total_bytes_per_second: u32,
}

impl PipeLimits {
    /// Maximum pipes of a key.
    pub fn per_key(&self) -> usize {
        self.total.div_ceil(2)
    }

    /// Maximum ends of pipes of one address.
    pub fn per_address(&self) -> usize {
        self.total.div_ceil(20)
    }

    /// Bytes per second of one pipe.
    pub fn bytes_per_second(&self) -> u32 {
        self.total_bytes_per_second.div_ceil(8)
    }

    /// Bytes per second of all pipes of a key.
    pub fn key_bytes_per_second(&self) -> u32 {
        self.total_bytes_per_second.div_ceil(2)
    }
}

impl Default for PipeLimits {
    fn default() -> Self {
        PipeLimits { total: 2000, total_bytes_per_second: 32 << 20 }
    }
}
