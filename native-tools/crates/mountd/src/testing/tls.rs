//! TLS in front of the plain server, with certificates made for the test by the `openssl` command.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

/// What is wrong with the server's certificate.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Flaw {
    None,
    SelfSigned,
    OtherName,
    Expired,
}

/// The server; its threads end with the process.
#[derive(Debug)]
pub(crate) struct TlsServer {
    /// `https://127.0.0.1:port`.
    pub(crate) url: String,
    /// PEM of the authority.
    pub(crate) ca: String,
    connections: Arc<AtomicUsize>,
}

impl TlsServer {
    /// In front of `target`, `http://127.0.0.1:port`.
    pub(crate) fn start(target: &str, flaw: Flaw) -> Self {
        let (config, ca) = config(flaw);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let target = target.strip_prefix("http://").unwrap().to_owned();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::Relaxed);
                let (config, target) = (Arc::clone(&config), target.clone());
                thread::spawn(move || {
                    // Whoever does not like the certificate hangs up.
                    let _ = serve(stream, config, &target);
                });
            }
        });
        Self {
            url,
            ca,
            connections,
        }
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The authority in a file below `directory`.
    pub(crate) fn ca_file(&self, directory: &Path) -> PathBuf {
        let path = directory.join("ca.pem");
        std::fs::write(&path, &self.ca).unwrap();
        path
    }
}

/// What the server shows, and its authority in PEM.
fn config(flaw: Flaw) -> (Arc<ServerConfig>, String) {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let names = match flaw {
        Flaw::OtherName => "subjectAltName=DNS:registry.test",
        _ => "subjectAltName=IP:127.0.0.1",
    };
    std::fs::write(at.join("names"), names).unwrap();
    let days = if matches!(flaw, Flaw::Expired) {
        "-1"
    } else {
        "1"
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        at,
        &format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=ca"),
    );
    if matches!(flaw, Flaw::SelfSigned) {
        let own = format!("-subj /CN=self -addext {names} -addext basicConstraints=CA:FALSE");
        openssl(at, &format!("req -x509 {key} -keyout key -out pem {own}"));
    } else {
        openssl(
            at,
            &format!("req -new {key} -keyout key -out csr -subj /CN=server"),
        );
        let by = "-CA ca.pem -CAkey ca.key -extfile names";
        openssl(at, &format!("x509 -req -in csr -out pem -days {days} {by}"));
    }
    let certificate = CertificateDer::from_pem_file(at.join("pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(at.join("key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let ca = std::fs::read_to_string(at.join("ca.pem")).unwrap();
    (Arc::new(config), ca)
}

fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(directory)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {said}");
}

/// Carries bytes both ways on one thread: the client is read with a short timeout between looks at the server.
fn serve(mut client: TcpStream, config: Arc<ServerConfig>, target: &str) -> io::Result<()> {
    let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut client)?;
    }
    let mut server = TcpStream::connect(target)?;
    let pause = Some(Duration::from_millis(5));
    client.set_read_timeout(pause)?;
    server.set_read_timeout(pause)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let mut secure = rustls::Stream::new(&mut tls, &mut client);
        match secure.read(&mut buffer) {
            Ok(0) => return server.shutdown(Shutdown::Both),
            Ok(count) => server.write_all(&buffer[..count])?,
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error),
        }
        match server.read(&mut buffer) {
            Ok(0) => return client.shutdown(Shutdown::Both),
            Ok(count) => secure.write_all(&buffer[..count])?,
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_pause(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
