//! From what this crate works with to the messages of the service.

use crate::proto::{Failure, LayerStat, ReplayStat, StatResponse, TierStat, WaitCount};
use crate::stats::Report;

pub(super) fn stat_response(report: Report) -> StatResponse {
    let totals = report.totals;
    StatResponse {
        wanted_bytes: totals.wanted_bytes,
        fetched_bytes: totals.fetched_bytes,
        requests: totals.requests,
        retries: totals.retries,
        chunks_verified: totals.chunks_verified,
        cache_hits: totals.cache_hits,
        cache_damaged: totals.cache_damaged,
        not_kept: totals.not_kept,
        kernel_requests: report.kernel_requests,
        requests_by_kind: report.requests_by_kind,
        failures: report
            .failures
            .into_iter()
            .map(|failure| Failure {
                code: failure.code.to_owned(),
                message: failure.message,
                count: failure.count,
            })
            .collect(),
        layers: report
            .layers
            .into_iter()
            .map(|(layer, mounts)| LayerStat {
                diff_id: layer.diff_id,
                digest: layer.digest,
                mode: layer.mode.name().to_owned(),
                reason: layer.reason,
                plain_bytes: layer.plain_bytes,
                fetched_bytes: layer.fetched_bytes,
                chunks: layer.chunks,
                proven: layer.proven,
                mounts: u32::try_from(mounts).unwrap_or(u32::MAX),
            })
            .collect(),
        tiers: report
            .reads
            .tiers
            .into_iter()
            .map(|(tier, reads, plain_bytes)| TierStat {
                tier: tier.to_owned(),
                reads,
                plain_bytes,
            })
            .collect(),
        waits: report
            .reads
            .waits
            .into_iter()
            .map(|(up_to_us, reads)| WaitCount { up_to_us, reads })
            .collect(),
        waited_us: report.reads.waited_us,
        replay: report.replay.map(|replay| ReplayStat {
            chunks: replay.chunks,
            mapped: replay.mapped,
            fetched: replay.fetched,
            used: replay.used,
            unforeseen: replay.unforeseen,
            state: replay.state.to_owned(),
        }),
    }
}
