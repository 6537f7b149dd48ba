//! Between a peer and a backend, in larger blocks.

use std::io;
use std::net::SocketAddr;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::TcpStream;

use super::BLOCK;

pub(crate) async fn relay(mut near: TcpStream, backend: SocketAddr) -> io::Result<()> {
    let mut far = TcpStream::connect(backend).await?;
    far.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut near, &mut far, BLOCK, BLOCK).await?;
    Ok(())
}
