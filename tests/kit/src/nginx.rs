//! A real nginx in front of a broker. The drop ends it.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::directory::Directory;
use crate::ports::free_port;
use crate::tools::need;
use crate::wait::look_for;

pub struct Nginx {
    child: Child,
    /// Holds its files.
    directory: Directory,
    pub address: SocketAddr,
}

impl Nginx {
    /// Starts one with these lines in its `http` block, where `LISTEN` is its address. `None` if nginx is
    /// missing.
    pub fn start(lines: &str) -> Option<Self> {
        let program = need("nginx")?;
        let directory = Directory::new();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let folder = directory.arg(".");
        let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {folder}/{name};\n"))
            .concat();
        let lines = lines.replace("LISTEN", &address.to_string());
        let config = format!(
            "daemon off; master_process off; pid {folder}/pid; error_log stderr;\nevents {{}}\n\
             http {{\naccess_log off;\n{places}\n{lines}\n}}\n"
        );
        let config = directory.file("nginx.conf", &config);
        let child = Command::new(program)
            .args(["-e", "stderr", "-p", &folder, "-c", &config])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.at("log")).unwrap())
            .spawn()
            .unwrap();
        let mut nginx = Nginx { child, directory, address };
        let has_ended = look_for(|| match nginx.child.try_wait().unwrap() {
            None => TcpStream::connect(address).is_ok().then_some(false),
            Some(_) => Some(true),
        });
        assert_eq!(has_ended, Some(false), "nginx does not listen: {}", nginx.log());
        Some(nginx)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.at("log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
