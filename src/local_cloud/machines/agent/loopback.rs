//! Brings up the loopback of a new network namespace and gives it the machine's addresses, so that an app can bind
//! them. It must never run in the host's namespace.

use std::io;
use std::mem;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Brings it up. Addresses of `127.0.0.0/8` are there by themselves.
pub(super) fn raise(addresses: &[Ipv4Addr]) -> io::Result<()> {
    // SAFETY: a plain system call; the descriptor it answers belongs to nobody else.
    let socket = unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(socket)
    };
    let mut up = request("lo");
    up.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    control(&socket, libc::SIOCSIFFLAGS as _, &mut up)?;
    for (number, address) in addresses.iter().filter(|address| !address.is_loopback()).enumerate() {
        let name = format!("lo:{number}");
        let mut set = request(&name);
        set.ifr_ifru.ifru_addr = socket_address(*address);
        control(&socket, libc::SIOCSIFADDR as _, &mut set)?;
        // Only this very address: with the default mask its whole network would seem to be this machine.
        let mut mask = request(&name);
        mask.ifr_ifru.ifru_netmask = socket_address(Ipv4Addr::BROADCAST);
        control(&socket, libc::SIOCSIFNETMASK as _, &mut mask)?;
    }
    Ok(())
}

fn request(name: &str) -> libc::ifreq {
    // SAFETY: all zeroes is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from as libc::c_char;
    }
    request
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    let [a, b, c, d] = address.octets().map(|byte| byte as libc::c_char);
    // SAFETY: all zeroes is a valid `sockaddr`.
    let mut generic: libc::sockaddr = unsafe { mem::zeroed() };
    generic.sa_family = libc::AF_INET as libc::sa_family_t;
    // `sockaddr_in`: two bytes of port, then the address in network order.
    generic.sa_data[2..6].copy_from_slice(&[a, b, c, d]);
    generic
}

fn control(socket: &OwnedFd, what: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: the request lives through the call and is of the type that these calls take (netdevice(7)).
    if unsafe { libc::ioctl(socket.as_raw_fd(), what, request as *mut libc::ifreq) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
