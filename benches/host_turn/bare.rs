//! The bare minimum: an actix-web handler that reads the body and answers 200 with nothing.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use actix_web::{App, HttpResponse, HttpServer, web};

use super::process::Server;

/// Set in the environment of the process that is to be the bare handler.
pub(crate) const MARK: &str = "ROOKERY_BENCH_BARE";

/// Starts this program again as the bare handler.
pub(crate) fn start() -> Server {
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program).env(MARK, "1").stdout(Stdio::piped()).spawn().expect("a process");
    let mut line = String::new();
    let output = child.stdout.take().expect("its output");
    BufReader::new(output).read_line(&mut line).expect("its address");
    Server::of(child, line.trim().parse().expect("an address"))
}

/// Is the bare handler, until it is stopped.
pub(crate) fn serve() {
    let served = actix_web::rt::System::new().block_on(async {
        let server =
            HttpServer::new(|| App::new().default_service(web::to(handle))).workers(cores()).bind("127.0.0.1:0")?;
        println!("{}", server.addrs()[0]);
        server.run().await
    });
    served.expect("it serves");
}

async fn handle(body: web::Bytes) -> HttpResponse {
    if body.is_empty() { HttpResponse::BadRequest().finish() } else { HttpResponse::Ok().finish() }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}
