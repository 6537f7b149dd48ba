//! STARTTLS, both sides: a conversation that begins in the clear and goes on over TLS.
//!
//! The server refuses bytes that came behind the command: somebody on the way could have put them there, to be read as if TLS had
//! protected them. What is read before and after is told apart by the types: `start_tls` takes both ends, and gives new ones.

use std::io;
use std::rc::Rc;

use millrun::streams::{ReadAhead, StreamReader, StreamWriter, open_connection, start_server};
use millrun::tls::{ClientConfig, ServerConfig};
use millrun::transport::ClientTls;

type Failure = Box<dyn std::error::Error>;

async fn serve(
    config: ServerConfig,
    mut reader: StreamReader,
    writer: StreamWriter,
) -> io::Result<()> {
    writer.write(b"220 the mill is ready\r\n")?;
    if reader.read_line().await? != b"STARTTLS\r\n" {
        writer.write(b"530 STARTTLS first\r\n")?;
        return writer.close().await.map(drop);
    }
    writer.write(b"220 go ahead\r\n")?;
    let (mut reader, writer) = writer.start_tls(reader, Rc::new(config), ReadAhead::Refuse).await?;
    let name = reader.read_line().await?;
    writer.writelines(&[b"250 hello, ", name])?;
    writer.close().await.map(drop)
}

async fn ask(port: u16, config: ClientConfig) -> Result<Vec<u8>, Failure> {
    let (mut reader, writer) = open_connection("127.0.0.1", port).await?;
    print!("in the clear: {}", String::from_utf8_lossy(reader.read_line().await?));
    writer.write(b"STARTTLS\r\n")?;
    print!("in the clear: {}", String::from_utf8_lossy(reader.read_line().await?));
    let layer = config.layer("mill.test")?;
    let (mut reader, writer) = writer.start_tls(reader, layer, ReadAhead::Refuse).await?;
    writer.write(b"miller\r\n")?;
    let answer = reader.read_line().await?.to_vec();
    print!("over TLS: {}", String::from_utf8_lossy(&answer));
    writer.close().await?;
    Ok(answer)
}

fn main() -> Result<(), Failure> {
    let made = rcgen::generate_simple_self_signed(["mill.test".to_owned()])?;
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let config = ServerConfig::new(chain.as_bytes(), key.as_bytes())?;
    let client = ClientConfig::builder().root_certificates(chain.as_bytes()).build()?;
    millrun::run(async move {
        let handler = async move |reader, writer| serve(config.clone(), reader, writer).await;
        let server = start_server("127.0.0.1", 0, handler).await?;
        let answer = ask(server.local_addrs()[0].port().unwrap_or(0), client).await?;
        if answer == b"250 hello, miller\r\n" { Ok(()) } else { Err("the answer differs".into()) }
    })?
}
