//! An echo server over TLS: the echo of `echo_server`, unchanged, behind a certificate.
//!
//! ```text
//! tls_echo PORT CHAIN KEY    serves until interrupted, with a certificate chain and its key in PEM files:
//!                            try `openssl s_client -connect localhost:PORT -CAfile CHAIN`
//!                            (openssl req -x509 -newkey rsa:2048 -nodes -keyout KEY -out CHAIN -days 30 -subj /CN=localhost
//!                            -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE makes one)
//! tls_echo                   serves on a free port with a certificate made for this run, asks itself one thing, and ends
//! ```

use millrun::streams::{StreamReader, StreamWriter, open_connection, start_server};
use millrun::tls::{ClientConfig, ServerConfig};

type Failure = Box<dyn std::error::Error>;

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<(), Failure> {
    loop {
        let bytes = reader.read(64 * 1024).await?;
        if bytes.is_empty() {
            break;
        }
        writer.write(bytes)?;
        writer.drain().await?;
    }
    writer.close().await?;
    Ok(())
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (port, chain, key) = match &arguments[..] {
        [port, chain, key] => (port.clone(), std::fs::read(chain)?, std::fs::read(key)?),
        _ => {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
            (
                String::from("0"),
                made.cert.pem().into_bytes(),
                made.signing_key.serialize_pem().into_bytes(),
            )
        }
    };
    let config = ServerConfig::new(&chain, &key)?;
    millrun::run(async {
        let server = start_server("127.0.0.1", port.as_str(), echo).tls(config).await?;
        let at = server.local_addrs()[0].clone();
        println!("listening on {at}");
        if !arguments.is_empty() {
            server.wait_closed().await;
            return Ok(());
        }

        let client = ClientConfig::builder().root_certificates(&chain).build()?;
        let opening = open_connection("127.0.0.1", at.port().unwrap_or(0));
        let (mut reader, writer) = opening.tls(&client, "localhost").await?;
        writer.write(b"anybody there?")?;
        if writer.can_write_eof() {
            writer.write_eof(); // TLS 1.3 ends each direction on its own
        }
        let mut answer = Vec::new();
        reader.read_to_end(&mut answer).await?;
        println!("the echo: {}", String::from_utf8_lossy(&answer));
        if answer != b"anybody there?" { Err("the echo differs".into()) } else { Ok(()) }
    })?
}
