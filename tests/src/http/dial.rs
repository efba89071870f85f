//! Sockets of one's own making: from an address of choice, with a window of choice.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};

use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

/// Connects from this address. A small window is for those who do not read; it has to be known
/// before the connection is made.
///
/// # Errors
/// When there is no address, descriptor or peer left.
pub fn dial(source: IpAddr, peer: SocketAddr, window: Option<usize>) -> io::Result<TcpStream> {
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    if let Some(bytes) = window {
        set_socket_recv_buffer_size(&fd, bytes)?;
    }
    bind(&fd, &SocketAddr::from((source, 0)))?;
    connect(&fd, &peer)?;
    Ok(fd.into())
}
