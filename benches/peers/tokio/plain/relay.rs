//! Between a peer and a backend.

use std::io;
use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

pub(crate) async fn relay(mut near: TcpStream, backend: SocketAddr) -> io::Result<()> {
    let mut far = TcpStream::connect(backend).await?;
    far.set_nodelay(true)?;
    copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}
