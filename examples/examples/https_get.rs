//! Fetches one page over HTTPS: TLS with the operating system's roots, or a root of your own, and the protocol agreed on by ALPN.
//!
//! ```text
//! https_get HOST[:PORT][/PATH]              trusts whom the system trusts
//! https_get --ca FILE HOST[:PORT][/PATH]    trusts the certificates in FILE (PEM) and nobody else
//! https_get                                 serves itself a page, and fetches that
//! ```

use millrun::streams::{open_connection, start_server};
use millrun::tls::{ClientConfig, ServerConfig, TlsInfo};

type Failure = Box<dyn std::error::Error>;

async fn get(
    config: &ClientConfig,
    at: (&str, u16),
    host: &str,
    path: &str,
) -> Result<Vec<u8>, Failure> {
    let (mut reader, writer) = open_connection(at.0, at.1).tls(config, host).await?;
    if let Some(info) = writer.extra_info::<TlsInfo>() {
        eprintln!("{} {}", info.version(), info.cipher_suite());
    }
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    writer.write(request.as_bytes())?;
    let mut page = Vec::new();
    // An end without close_notify would be an error here: the page would be cut off.
    reader.read_to_end(&mut page).await?;
    Ok(page)
}

fn main() -> Result<(), Failure> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let builder = ClientConfig::builder().alpn(["http/1.1"]);
    let config = match arguments.first().map(String::as_str) {
        None => return millrun::run(alone())?,
        Some("--ca") if arguments.len() == 3 => {
            let roots = std::fs::read(arguments.remove(1))?;
            arguments.remove(0);
            builder.root_certificates(&roots).build()?
        }
        Some(_) => builder.build()?,
    };
    let (authority, path) = arguments[0].split_once('/').unwrap_or((&arguments[0], ""));
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let page = millrun::run(get(&config, (host, port.parse()?), host, path))??;
    print!("{}", String::from_utf8_lossy(&page));
    Ok(())
}

/// A server with a certificate that was made for this run, and a client that trusts just that.
async fn alone() -> Result<(), Failure> {
    let made = rcgen::generate_simple_self_signed(["mill.test".to_owned()])?;
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let config = ServerConfig::builder()
        .certificate(chain.as_bytes(), key.as_bytes())
        .alpn(["http/1.1"])
        .build()?;
    let server = start_server("127.0.0.1", 0, async |mut reader, writer| {
        while reader.read_line().await.is_ok_and(|line| line != b"\r\n") {}
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nhello, mill.\n")?;
        writer.close().await.map(drop)
    })
    .tls(config)
    .await?;
    let port = server.local_addrs()[0].port().unwrap_or(0);
    let client =
        ClientConfig::builder().root_certificates(chain.as_bytes()).alpn(["http/1.1"]).build()?;
    let page = get(&client, ("127.0.0.1", port), "mill.test", "index.html").await?;
    print!("{}", String::from_utf8_lossy(&page));
    if page.ends_with(b"hello, mill.\n") { Ok(()) } else { Err("the page differs".into()) }
}
