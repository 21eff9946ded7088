// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ModelId} from "../types/Ids.sol";
import {Model, Profile} from "../types/Model.sol";

/// @title Content-addressed, permissionless registry of models.
/// @notice Registering proves nothing about a model: the id *is* the model. Clients take ids only from their own
/// computation (`sworn model id`) or from someone they trust; operators recompute an id before they serve it.
interface IModelRegistry {
    /// @notice Thrown when a model of another identity version is registered.
    error ModelVersionUnknown(uint16 version);
    /// @notice Thrown when the profile is missing, or its roots do not fit: zero exactly for `Signed`.
    error ModelRootsInvalid(Profile profile, bytes32 programRoot, bytes32 weightsRoot, bytes32 limitsHash);
    /// @notice Thrown when a model without artifact hash or schema hash is registered.
    error ModelIncomplete();
    /// @notice Thrown when the model has not been registered here.
    error ModelUnknown(ModelId modelId);
    /// @notice Thrown when an artifact URI is empty or longer than `MAX_URI_BYTES`.
    error ArtifactUriInvalid(uint256 length);

    /// @notice Emitted when a model is registered for the first time.
    /// @param modelId Content address of the model.
    /// @param model Its preimage.
    event ModelRegistered(ModelId indexed modelId, Model model);
    /// @notice Emitted when somebody publishes a place where the artifact can be fetched.
    /// @param modelId The model whose artifact it is.
    /// @param publisher Who says so; anyone may.
    /// @param uri Where; fetched bytes count only if their sha256 is the model's artifact hash.
    event ArtifactPublished(ModelId indexed modelId, address indexed publisher, string uri);

    /// @notice Registers a model; does nothing when it is registered already.
    /// @param model The model's preimage.
    /// @return modelId Its content address.
    function register(Model calldata model) external returns (ModelId modelId);

    /// @notice Publishes a mirror of a registered model's artifact.
    /// @param modelId The model.
    /// @param uri Where its .onnx bytes can be fetched.
    function publish(ModelId modelId, string calldata uri) external;

    /// @notice The profile of a registered model, `Profile.None` for any other.
    /// @param modelId The model.
    function profileOf(ModelId modelId) external view returns (Profile);
}
