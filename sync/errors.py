"""通道故障: what can be wrong with what a peer sent; it reaches the operator, never our callers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from domain.errors import Stated


class LaneFault(Stated):
    """来件有误。What the peer sent is not acceptable."""


class TooLarge(LaneFault):
    """来件超过大小限制。The message is larger than the limit."""

    mend = "请分批发送。Send it in parts."


class Malformed(LaneFault):
    """来件格式不正确。The message is not in the form agreed on."""

    mend = "请按所指的位置改正，升级后重发。Mend what is named; an update may do it."


class NotEnrolled(LaneFault):
    """来件方未登记。The sender is not an enrolled peer."""

    mend = "请先互相登记名片。Exchange cards first."


class Forged(LaneFault):
    """签名不符。The signature is not the sender's."""

    mend = "请核对双方登记的名片和时钟。Compare the enrolled cards and both clocks."


class ClocksDiffer(Forged):
    """两个节点的时钟相差过大。The clocks of the two nodes differ too much."""

    mend = (
        "请核对双方的时钟；改正后通道自动恢复，不会丢失。"
        "Look at both clocks; once they are right the lane goes on by itself, and nothing is lost."
    )


class KeyOver(LaneFault):
    """签名密钥已更换或吊销。It is signed by a key that was given up before."""

    mend = "请用现用密钥签发；遗失则重新登记。Sign with the key in use, or enrol anew."


class KeyNotProven(LaneFault):
    """换钥没有旧密钥和新密钥的签名。The change of keys is not signed by the old key and the new."""

    mend = "请电话核对；旧密钥遗失则重新登记。Telephone; without the old key, enrol anew."


class Misaddressed(LaneFault):
    """来件不是发给本组织的。The message is addressed to another organization."""

    mend = "请核对地址和组织代码。Check the address and the organization's code."


class Gap(LaneFault):
    """编号不连续，已请对方补发。Numbers are missing; the sender is asked to send them again."""

    mend = "无需处理，将自动补发。Nothing: it is sent again by itself."


class RootsDiffer(LaneFault):
    """来件与此前确认的内容不一致。The lane's history differs from what was acknowledged."""

    mend = (
        "请双方核对：一方可能恢复了旧备份。Compare both sides: one may have restored an old backup."
    )


class SplitView(LaneFault):
    """对方对同一大小的台账签了两个不同的根。One ledger is signed with two roots of one size."""

    mend = (
        "通道已停。证据已保存：waystation log evidence；请双方负责人当面核对。"
        "The lane stands. Evidence is kept: waystation log evidence. Let both sides' heads meet."
    )


class Rewritten(LaneFault):
    """对方台账的一致性证明不成立：历史被改写。The ledger does not continue the one we witnessed."""

    mend = (
        "通道已停。证据已保存：waystation log evidence；请双方负责人当面核对。"
        "The lane stands. Evidence is kept: waystation log evidence. Let both sides' heads meet."
    )


class RolledBack(LaneFault):
    """对方台账比本组织见证过的短。The ledger is shorter than what we have witnessed of it."""

    mend = (
        "对方可能恢复了旧备份；请对方补齐后再发。"
        "They may have restored an old backup; let them fetch what is missing, and send again."
    )


class CheckpointMissing(LaneFault):
    """来件没有检查点，而此前有。No checkpoint comes with it, although there was one before."""

    mend = "请对方升级或恢复其台账签名。Let them sign their ledger again, as they did before."


class Unproven(LaneFault):
    """对方一再不证明其台账的延续。Time and again nothing proves that the ledger goes on."""

    mend = "请对方按回单所列大小附一致性证明。Prove it from the size that our receipt names."


class NotOurCheckpoint(LaneFault):
    """回单见证的不是本组织签过的检查点。The receipt cosigns a checkpoint that is not ours."""

    mend = "请对方核对。Let the peer look at what it has cosigned."


class Fenced(LaneFault):
    """本节点恢复了旧备份：对方见过更新的台账，暂停一切签发。An old backup was restored here."""

    mend = (
        "本节点此后签过的台账不在库中，正向对方取回；期间不登记、不收发、不签检查点。"
        "进展与下一步：waystation fence status。"
        "What this node signed since is being fetched from its peers; until then nothing is"
        " recorded or signed. What is missing, and what to do: waystation fence status."
    )


class LaneHeld(LaneFault):
    """通道暂停：对方所持本组织的记录尚未取回。This lane waits for what the peer holds of ours."""

    mend = (
        "请使对方节点可达，将自动取回后继续。"
        "Let their node be reached: it is fetched by itself, and the lane goes on."
    )


class AnotherEpoch(LaneFault):
    """对方台账换了纪元而未说明。The ledger is of another epoch, and no statement links the two."""

    mend = "请对方说明并由双方核对。Let them state why, and compare."


class NotTheKeeper(LaneFault):
    """来件方不是该记录的保管组织。The sender is not the keeper of the stream."""

    mend = "请由保管组织记录。Let its keeper record it."


class NotTheirTopic(LaneFault):
    """来件方无权作此记录。The sender may not author this."""

    mend = "请核对此事由谁登记。Check who is to record this."


class VersionGap(LaneFault):
    """该记录的版本不连续。The version does not follow the one before it."""

    mend = "请核对该记录的前一版本是否已发出。Check that the version before it was sent."


class DoesNotFit(LaneFault):
    """该记录与此前的内容不符。It does not fit what its stream has said so far."""

    mend = (
        "请核对此前的记录，另作更正后告知对方重试。"
        "Look at what came before, correct it, and ask them to retry."
    )


class StreamStopped(LaneFault):
    """该记录此前有误，后续暂存。An earlier entry of this stream is quarantined."""

    mend = "请先处理同一记录中在前的一条。Mend the earlier entry of the same stream first."


class Unknown(LaneFault):
    """该记录所属的流动本组织不知。It concerns an absence that is not known here."""

    mend = (
        "请先将该流动告知对方，再请对方重试。Share that absence with them, then ask them to retry."
    )


class TooManyParked(LaneFault):
    """暂存的来件过多，通道暂停。Too many entries are quarantined; the lane waits."""

    mend = "请对方处理隔离区。Ask their operator to clear the quarantine."


class NotABundle(LaneFault):
    """这不是数据包。The file is not a bundle."""

    mend = (
        "请选择对方用 waystation bundle export 导出的 .bundle 文件。"
        "Choose the .bundle file that their waystation bundle export wrote."
    )


class ForAnother(LaneFault):
    """数据包不是给本组织的。The bundle is for another organization."""

    mend = "请转交收件组织。Hand it to the organization it names."


class OtherVersion(LaneFault):
    """数据包的格式版本与本节点不同。The bundle is in another version of the format."""

    mend = (
        "请双方使用同一版本的驿站后重新导出。"
        "Bring both nodes to one version of Waystation, and export it again."
    )


class Altered(LaneFault):
    """数据包不完整或被改动。The bundle is not whole, was altered, or is not its sender's."""

    mend = (
        "请重新拷贝并核对 SHA-256；仍不行请对方重新导出。"
        "Copy it again and compare its SHA-256; if it stays, let them export again."
    )


class Unopened(LaneFault):
    """数据包不能用本节点的密钥解开。The bundle cannot be opened with this node's key."""

    mend = (
        "请对方登记本组织现在的名片后重新导出。"
        "Let them enrol this node's present card, and export again."
    )


@cache
def _by_code() -> dict[str, type[LaneFault]]:
    return {kind.code(): kind for kind in LaneFault.__subclasses__()}


def told(code: str, evidence: Mapping[str, object]) -> str:
    """A fault that was kept, as a person reads it; of a code that is not known here, the code."""
    kind = _by_code().get(code)
    return str(kind(**evidence)) if kind else code
