//! Ports for those who have to know theirs before they listen: such a port must stay free until then.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below what a system hands out to whoever asks for any port (from 32,768 on where nobody changed it), so that nothing
/// takes it in between; the tests of one process and of neighbouring ones get others.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = std::process::id() as u16 % 600 * 20;
    loop {
        let port = 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}
