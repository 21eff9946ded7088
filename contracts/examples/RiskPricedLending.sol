// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {InferenceConsumer} from "../consumer/InferenceConsumer.sol";
import {Tensors} from "../consumer/Tensors.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";
import {FailureCode} from "../types/Failure.sol";
import {ModelId, RequestId} from "../types/Ids.sol";
import {Assurance, RequestParams} from "../types/Request.sol";

/// @title RiskPricedLending
/// @notice An ether lending pool that prices each loan by a risk model: lenders deposit, a borrower applies with its
/// features, and the model's probability of default decides whether the loan is granted and at what rate.
/// @dev Repayment is by reputation only (the point here is the pricing): a borrower with an open loan gets no other one.
/// The model's second output is float32 [1, 2] with the probability of default at position 1.
contract RiskPricedLending is InferenceConsumer {
    enum LoanStatus {
        None,
        Applied,
        Granted,
        Declined,
        Repaid
    }

    struct Loan {
        address borrower;
        LoanStatus status;
        uint88 principalWei;
        // Share of the principal to be paid on top, as a wad.
        uint64 rateWad;
        // When the borrower may take an undecided application back.
        uint40 cancellableFrom;
    }

    /// @notice The terms of every request that this pool makes.
    struct Policy {
        ModelId modelId;
        address operator;
        uint32 callbackGas;
        uint32 windowSeconds;
        uint32 patienceSeconds;
        uint64 maxRiskWad;
    }

    /// @notice Thrown when a borrower applies with a loan open.
    error LoanOpen(uint256 loanId);
    /// @notice Thrown when a loan is not in the status that the call needs.
    error LoanStatusUnexpected(uint256 loanId, LoanStatus actual);
    /// @notice Thrown when an application is taken back while the oracle may still answer.
    error LoanUndecided(uint256 loanId, uint256 cancellableFrom);
    /// @notice Thrown when the principal is zero or more than the pool has.
    error PrincipalOutOfRange(uint256 principalWei, uint256 availableWei);
    /// @notice Thrown when a repayment is not the amount due.
    error RepaymentMismatch(uint256 sentWei, uint256 dueWei);
    /// @notice Thrown when more shares are redeemed than are owned, or the pool is lent out.
    error RedemptionOutOfRange(uint256 amountWei, uint256 availableWei);
    /// @notice Thrown when ether cannot be delivered.
    error DeliveryFailed(address to);

    /// @notice Emitted when a borrower applies.
    event LoanApplied(uint256 indexed loanId, address indexed borrower, uint256 principalWei, RequestId requestId);
    /// @notice Emitted when the model has spoken in the borrower's favour.
    event LoanGranted(uint256 indexed loanId, uint256 riskWad, uint256 rateWad);
    /// @notice Emitted when a loan is refused: the risk is too high, or the operator could not judge it.
    event LoanDeclined(uint256 indexed loanId, uint256 riskWad);
    /// @notice Emitted when a granted loan's principal leaves the pool.
    event LoanDrawn(uint256 indexed loanId, address indexed borrower, uint256 amountWei);
    /// @notice Emitted when a loan is repaid.
    event LoanRepaid(uint256 indexed loanId, uint256 amountWei);

    /// @dev A loan without risk costs 2 %, one at the limit of risk 2 % + 2 x that risk.
    uint256 private constant BASE_RATE_WAD = 0.02e18;
    uint256 private constant RISK_MULTIPLE = 2;

    ModelId public immutable MODEL_ID;
    address public immutable OPERATOR;
    uint32 public immutable CALLBACK_GAS;
    uint32 public immutable WINDOW_SECONDS;
    uint32 public immutable PATIENCE_SECONDS;
    uint64 public immutable MAX_RISK_WAD;

    mapping(uint256 loanId => Loan) public loans;
    mapping(address borrower => uint256 loanId) public openLoanOf;
    mapping(address borrower => uint256 amountWei) public drawable;
    mapping(address lender => uint256) public sharesOf;
    uint256 public totalShares;
    // Ether that is neither lent nor waiting to be drawn.
    uint256 public availableWei;
    // Principal of open applications and of loans not yet repaid.
    uint256 public lentWei;

    constructor(IInferenceOracle oracle, Policy memory policy) InferenceConsumer(oracle) {
        MODEL_ID = policy.modelId;
        OPERATOR = policy.operator;
        CALLBACK_GAS = policy.callbackGas;
        WINDOW_SECONDS = policy.windowSeconds;
        PATIENCE_SECONDS = policy.patienceSeconds;
        MAX_RISK_WAD = policy.maxRiskWad;
    }

    /// @notice Adds ether to the pool in exchange for shares of it.
    function deposit() external payable {
        uint256 poolWei = availableWei + lentWei;
        uint256 shares = totalShares == 0 || poolWei == 0 ? msg.value : (msg.value * totalShares) / poolWei;
        sharesOf[msg.sender] += shares;
        totalShares += shares;
        availableWei += msg.value;
    }

    /// @notice Takes ether out for shares.
    function redeem(uint256 shares) external {
        uint256 owned = sharesOf[msg.sender];
        if (shares > owned) revert RedemptionOutOfRange(shares, owned);
        uint256 amountWei = (shares * (availableWei + lentWei)) / totalShares;
        if (amountWei > availableWei) revert RedemptionOutOfRange(amountWei, availableWei);

        sharesOf[msg.sender] = owned - shares;
        totalShares -= shares;
        availableWei -= amountWei;

        _deliver(msg.sender, amountWei);
    }

    /// @notice Applies for a loan; the ether sent is the operator's fee.
    /// @param principalWei How much.
    /// @param featureWads The model's input features.
    /// @return loanId Number of the application.
    function applyForLoan(uint256 principalWei, int256[] calldata featureWads)
        external
        payable
        returns (uint256 loanId)
    {
        if (openLoanOf[msg.sender] != 0) revert LoanOpen(openLoanOf[msg.sender]);
        if (principalWei == 0 || principalWei > availableWei || principalWei > type(uint88).max) {
            revert PrincipalOutOfRange(principalWei, availableWei);
        }
        bytes memory input =
            Tensors.payloadOf(Tensors.float32s(featureWads, Tensors.shape2(1, uint32(featureWads.length))));
        // A borrower's next loan has another number, because the previous one is repaid or declined by then.
        loanId = uint256(keccak256(abi.encode(msg.sender, block.number, principalWei, input)));

        uint256 deadline = block.timestamp + PATIENCE_SECONDS;
        loans[loanId] = Loan({
            borrower: msg.sender,
            status: LoanStatus.Applied,
            principalWei: uint88(principalWei),
            rateWad: 0,
            // A result proposed in the last second is final one window later.
            cancellableFrom: uint40(deadline + WINDOW_SECONDS + 1)
        });
        openLoanOf[msg.sender] = loanId;
        availableWei -= principalWei;
        lentWei += principalWei;

        RequestId requestId = _requestInference(_params(loanId, principalWei, deadline, input), input, msg.value);

        emit LoanApplied(loanId, msg.sender, principalWei, requestId);
    }

    /// @notice Takes back an application that the model has not decided, once the oracle's time for it is over.
    /// @dev The fee is refunded by the oracle: `expire`, then `withdraw` by the borrower.
    function cancel() external {
        uint256 loanId = openLoanOf[msg.sender];
        Loan storage loan = loans[loanId];
        if (loan.status != LoanStatus.Applied) revert LoanStatusUnexpected(loanId, loan.status);
        if (block.timestamp < loan.cancellableFrom) revert LoanUndecided(loanId, loan.cancellableFrom);
        _decline(loanId, 0);
    }

    /// @notice Draws the principal of a granted loan.
    function draw() external {
        uint256 amountWei = drawable[msg.sender];
        if (amountWei == 0) revert PrincipalOutOfRange(0, 0);

        drawable[msg.sender] = 0;

        emit LoanDrawn(openLoanOf[msg.sender], msg.sender, amountWei);

        _deliver(msg.sender, amountWei);
    }

    /// @notice Repays the caller's loan with its interest.
    function repay() external payable {
        uint256 loanId = openLoanOf[msg.sender];
        Loan storage loan = loans[loanId];
        if (loan.status != LoanStatus.Granted) revert LoanStatusUnexpected(loanId, loan.status);
        uint256 dueWei = dueFor(loanId);
        if (msg.value != dueWei) revert RepaymentMismatch(msg.value, dueWei);

        loan.status = LoanStatus.Repaid;
        openLoanOf[msg.sender] = 0;
        lentWei -= loan.principalWei;
        availableWei += msg.value;

        emit LoanRepaid(loanId, msg.value);
    }

    /// @notice Principal and interest of a granted loan.
    function dueFor(uint256 loanId) public view returns (uint256) {
        Loan memory loan = loans[loanId];
        return loan.principalWei + (uint256(loan.principalWei) * loan.rateWad) / 1e18;
    }

    /// @inheritdoc InferenceConsumer
    function _onResult(RequestId, bytes32 salt, bytes calldata output) internal override {
        uint256 loanId = uint256(salt);
        Loan storage loan = loans[loanId];
        // A borrower may have cancelled while a late answer was on its way.
        if (loan.status != LoanStatus.Applied) return;
        int256 probability = Tensors.wadAt(Tensors.tensorAt(output, 1), 1);
        uint256 riskWad = probability < 0 ? 0 : uint256(probability);
        if (riskWad > MAX_RISK_WAD) {
            _decline(loanId, riskWad);
            return;
        }
        uint256 rateWad = BASE_RATE_WAD + RISK_MULTIPLE * riskWad;

        loan.status = LoanStatus.Granted;
        loan.rateWad = uint64(rateWad);
        drawable[loan.borrower] += loan.principalWei;

        emit LoanGranted(loanId, riskWad, rateWad);
    }

    /// @inheritdoc InferenceConsumer
    function _onFailed(RequestId, bytes32 salt, FailureCode) internal override {
        if (loans[uint256(salt)].status == LoanStatus.Applied) _decline(uint256(salt), 0);
    }

    /// @inheritdoc InferenceConsumer
    function _onRefuted(RequestId, bytes32 salt, uint8, bool reopened) internal override {
        if (!reopened && loans[uint256(salt)].status == LoanStatus.Applied) _decline(uint256(salt), 0);
    }

    function _params(uint256 loanId, uint256 principalWei, uint256 deadline, bytes memory input)
        private
        view
        returns (RequestParams memory)
    {
        return RequestParams({
            modelId: MODEL_ID,
            inputRoot: Tensors.rootOf(input),
            operator: OPERATOR,
            refundTo: msg.sender,
            valueAtRiskWei: uint96(principalWei),
            callbackGas: CALLBACK_GAS,
            windowSeconds: WINDOW_SECONDS,
            deadline: uint40(deadline),
            assurance: Assurance.Final,
            salt: bytes32(loanId)
        });
    }

    function _decline(uint256 loanId, uint256 riskWad) private {
        Loan storage loan = loans[loanId];
        loan.status = LoanStatus.Declined;
        openLoanOf[loan.borrower] = 0;
        availableWei += loan.principalWei;
        lentWei -= loan.principalWei;

        emit LoanDeclined(loanId, riskWad);
    }

    function _deliver(address to, uint256 amountWei) private {
        (bool delivered,) = to.call{value: amountWei}("");
        if (!delivered) revert DeliveryFailed(to);
    }
}
