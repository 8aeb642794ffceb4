"""通道故障: what can be wrong with what a peer sent; it reaches the operator, never our callers."""

from __future__ import annotations

from domain.errors import Stated


class LaneFault(Stated):
    """来件有误。What the peer sent is not acceptable."""


class TooLarge(LaneFault):
    """来件超过大小限制。The message is larger than the limit."""


class Malformed(LaneFault):
    """来件格式不正确。The message is not in the form agreed on."""


class NotEnrolled(LaneFault):
    """来件方未登记。The sender is not an enrolled peer."""


class Forged(LaneFault):
    """签名不符。The signature is not the sender's."""


class Misaddressed(LaneFault):
    """来件不是发给本组织的。The message is addressed to another organization."""


class Gap(LaneFault):
    """编号不连续，已请对方补发。Numbers are missing; the sender is asked to send them again."""


class RootsDiffer(LaneFault):
    """来件与此前确认的内容不一致。The lane's history differs from what was acknowledged."""


class NotTheKeeper(LaneFault):
    """来件方不是该记录的保管组织。The sender is not the keeper of the stream."""


class NotTheirTopic(LaneFault):
    """来件方无权作此记录。The sender may not author this."""


class VersionGap(LaneFault):
    """该记录的版本不连续。The version does not follow the one before it."""


class DoesNotFit(LaneFault):
    """该记录与此前的内容不符。It does not fit what its stream has said so far."""


class StreamStopped(LaneFault):
    """该记录此前有误，后续暂存。An earlier entry of this stream is quarantined."""


class Unknown(LaneFault):
    """该记录所属的流动本组织不知。It concerns an absence that is not known here."""


class TooManyParked(LaneFault):
    """暂存的来件过多，通道暂停。Too many entries are quarantined; the lane waits."""
