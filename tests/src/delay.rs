//! A long wire: a proxy that passes every byte on a fixed time after it came.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::wait::now;

/// Chunks on the way in one direction of one connection. Past it the sender waits, as TCP has it.
const ON_THE_WAY: usize = 1_024;

/// Where to connect to reach `target` over a wire that takes `one_way` in each direction. The wire
/// is there until the process ends.
#[must_use]
pub fn wire(target: SocketAddr, one_way: Duration) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            // A target that is gone closes the connection, and that is all there is to say.
            let _ = TcpStream::connect(target).and_then(|far| join(&near, &far, one_way));
        }
    });
    address
}

/// Carries bytes both ways.
fn join(near: &TcpStream, far: &TcpStream, one_way: Duration) -> io::Result<()> {
    for (from, to) in [(near, far), (far, near)] {
        to.set_nodelay(true)?;
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        let (put, take) = sync_channel(ON_THE_WAY);
        thread::spawn(move || {
            let mut from = from;
            let mut bytes = [0; 16 << 10];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                // Each chunk has its own time, so that none waits for those before it.
                if put.send((now() + one_way, bytes[..count].to_vec())).is_err() {
                    break;
                }
            }
        });
        thread::spawn(move || carry(&take, to));
    }
    Ok(())
}

/// Writes each chunk when its time has come; the end of all comes after the last of them.
fn carry(take: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    for (due, bytes) in take {
        thread::sleep(due.saturating_duration_since(now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
