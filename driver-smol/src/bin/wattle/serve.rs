//! `wattle serve`: a signaling server of its own.

use std::process::ExitCode;

use smol::future::or;
use wattle_smol::{ServerConfig, SignalingServer};

use crate::args::Serve;
use crate::json::{self, Line};
use crate::{FAILED, human, run};

pub(crate) async fn run(args: Serve) -> ExitCode {
    let json = args.report.json;
    let server = match SignalingServer::bind(args.listen, ServerConfig::default()).await {
        Ok(server) => server,
        Err(error) => {
            let message = format!("cannot listen at {}: {error}", args.listen);
            report_failure(json, "bind_failed", &message);
            return ExitCode::from(FAILED);
        }
    };
    let address = server.local_addr().unwrap_or(args.listen);
    let url = format!("ws://{address}/peerjs");
    if json {
        json::print(&Line::Listening {
            address: address.to_string(),
            url,
        });
    } else {
        human::listening(address, &url);
    }
    let stopped = async {
        run::stop_signal().await;
        Ok(())
    };
    match or(server.run(), stopped).await {
        Ok(()) => {
            if json {
                json::print(&Line::Ended {
                    reason: "stopped",
                    message: "stopped by a signal".to_owned(),
                });
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            report_failure(json, "system", &error.to_string());
            ExitCode::from(FAILED)
        }
    }
}

fn report_failure(json: bool, kind: &'static str, message: &str) {
    if json {
        json::print(&Line::error(kind, message, ""));
        json::print(&Line::Ended {
            reason: kind,
            message: message.to_owned(),
        });
    } else {
        human::failure(message, "");
    }
}
