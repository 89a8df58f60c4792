//! Which TCP ports are listened on, as the kernel tells it in `/proc/net/tcp`. It only reads.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// The kernel's number for a listening socket. Source: include/net/tcp_states.h, TCP_LISTEN.
const LISTEN: &str = "0A";

/// Where each port listens: the IPv4 address to connect to for a peer that comes from outside. A port bound to the
/// loopback alone is not there, since on a real instance nobody outside would reach it.
pub(super) fn listening(private: Ipv4Addr, public: Option<Ipv4Addr>) -> BTreeMap<u16, Ipv4Addr> {
    let read = |name: &str| std::fs::read_to_string(name).unwrap_or_default();
    reachable(&read("/proc/self/net/tcp"), &read("/proc/self/net/tcp6"), private, public)
}

fn reachable(tcp: &str, tcp6: &str, private: Ipv4Addr, public: Option<Ipv4Addr>) -> BTreeMap<u16, Ipv4Addr> {
    let mut ports = BTreeMap::new();
    for (address, port) in tcp.lines().chain(tcp6.lines()).filter_map(entry) {
        let target = match address {
            None => private,
            Some(address) if address == private || Some(address) == public => address,
            Some(_) => continue,
        };
        ports.entry(port).or_insert(target);
    }
    ports
}

/// A listening line: its address (`None` for all of them) and port.
fn entry(line: &str) -> Option<(Option<Ipv4Addr>, u16)> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    let (address, port) = local.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Each word of 32 bits stands in the processor's order.
    let word = |text: &str| u32::from_str_radix(text, 16).map(|word| Ipv4Addr::from(word.to_ne_bytes())).ok();
    let address = match address.len() {
        8 => word(address)?,
        32 if address.bytes().all(|byte| byte == b'0') => Ipv4Addr::UNSPECIFIED,
        // An IPv4 address in IPv6 clothes: ::ffff:a.b.c.d.
        32 if word(address.get(16..24)?)? == Ipv4Addr::new(0, 0, 0xff, 0xff) => word(address.get(24..32)?)?,
        _ => return None,
    };
    Some(((!address.is_unspecified()).then_some(address), port))
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    #[test]
    fn ports_for_all_addresses_and_the_machines_own_are_reachable_and_the_loopbacks_are_not() {
        let tcp = format!(
            "{HEAD}   0: 00000000:1F90 00000000:0000 0A 0:0 0:0 0 0 0 1\n   1: 0100007F:1F91 00000000:0000 0A 0:0 0:0 0 0 0 1\n   \
             2: 0A00A8C0:1F92 00000000:0000 0A 0:0 0:0 0 0 0 1\n   3: 00000000:1F93 00000000:0000 01 0:0 0:0 0 0 0 1\n   \
             4: 0100407F:1F94 00000000:0000 0A 0:0 0:0 0 0 0 1\n"
        );
        let tcp6 = format!(
            "{HEAD}   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 1\n   \
             1: 00000000000000000000000001000000:0051 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 1\n   \
             2: 0000000000000000FFFF00000A00A8C0:0052 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 1\n"
        );
        let (private, public) = (Ipv4Addr::new(192, 168, 0, 10), Ipv4Addr::new(127, 64, 0, 1));
        let ports = reachable(&tcp, &tcp6, private, Some(public));
        assert_eq!(ports, BTreeMap::from([(8080, private), (8082, private), (8084, public), (80, private), (82, private)]));
    }
}
